"""P8, P11, P12, P13: cancelled, scheduled, expired, retried, rejected, redriven, paused."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.handlers import OrderAttempt, Reject, Retry
from support.in_process import completions
from support.lives import shop
from support.orders import order
from support.refusals import refusal_of

HOUR = 3600.0
MATCHING = {
    api.CANCEL_OUTCOME_CANCELLED: {order_pb2.STATE_CANCELLED},
    api.CANCEL_OUTCOME_CANCEL_REQUESTED: {order_pb2.STATE_CANCELLED, order_pb2.STATE_SUCCEEDED},
    api.CANCEL_OUTCOME_TOO_LATE: {order_pb2.STATE_SUCCEEDED},
}


def later(seconds: float) -> Timestamp:
    """Tell the time in so many seconds."""
    return Timestamp(seconds=int(time.time() + seconds))


async def test_p13_a_waiting_order_is_cancelled_at_once(tmp_path: Path) -> None:
    async with shop(tmp_path, workers=0) as here:
        receipt = await here.stub.PlaceOrder(order())
        answer = await here.cancel(receipt.order.order_id)
        again = await here.cancel(receipt.order.order_id)
        completion = await here.completion(receipt)
    assert answer.outcome == again.outcome == api.CANCEL_OUTCOME_CANCELLED
    assert answer.completion == completion
    assert completion.order.state == order_pb2.STATE_CANCELLED
    assert completion.order.start_sequence == 0


async def test_p13_an_async_handler_is_cancelled_and_the_completion_says_so(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as here:
        here.server.hold()
        receipt = await here.stub.PlaceOrder(order())
        await here.server.starts(1)
        answer = await here.cancel(receipt.order.order_id)
        completion = await here.completion(receipt)
    assert answer.outcome == api.CANCEL_OUTCOME_CANCEL_REQUESTED
    assert not answer.HasField("completion")
    assert completion.order.state == order_pb2.STATE_CANCELLED
    assert not completion.HasField("failure")


async def test_p13_a_sync_handler_is_told_and_decides(tmp_path: Path) -> None:
    told = threading.Event()

    def stubborn(attempt: OrderAttempt) -> None:
        while not attempt.cancel_requested:
            told.wait(0.001)

    async with shop(tmp_path, handler=stubborn) as here:
        receipt = await here.stub.PlaceOrder(order())
        await here.server.starts(1)
        answer = await here.cancel(receipt.order.order_id)
        completion = await here.completion(receipt)
        late = await here.cancel(receipt.order.order_id)
    assert answer.outcome == api.CANCEL_OUTCOME_CANCEL_REQUESTED
    assert completion.order.state == order_pb2.STATE_SUCCEEDED
    assert late.outcome == api.CANCEL_OUTCOME_TOO_LATE
    assert late.completion == completion


@pytest.mark.parametrize(
    "orders",
    [
        pytest.param(2_000, marks=pytest.mark.seconds),
        pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
)
async def test_p13_cancels_that_race_with_starts_always_match_the_one_completion(
    tmp_path: Path, orders: int
) -> None:
    async with shop(tmp_path, workers=8) as here:
        here.server.hold()
        receipts: list[api.PlaceOrderResponse] = []
        for _ in range(orders // 1_000):
            batch = api.BatchPlaceOrdersRequest(requests=[order() for _ in range(1_000)])
            receipts += (await here.stub.BatchPlaceOrders(batch)).receipts
        await here.server.starts(8)
        cancels = [asyncio.create_task(here.cancel(r.order.order_id)) for r in receipts]
        await cancels[0]
        here.server.release()
        answers = await asyncio.gather(*cancels)
        ends = {c.order.order_id: c.order.state for c in await completions(here.stub, orders)}
    assert len(ends) == orders
    for receipt, answer in zip(receipts, answers, strict=True):
        assert ends[receipt.order.order_id] in MATCHING[answer.outcome]
    assert {answer.outcome for answer in answers} >= {
        api.CANCEL_OUTCOME_CANCELLED,
        api.CANCEL_OUTCOME_CANCEL_REQUESTED,
    }


async def test_p12_a_scheduled_order_starts_when_its_time_comes_in_its_own_place(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as here:
        request = order("later")
        request.not_before.CopyFrom(later(HOUR))
        receipt = await here.stub.PlaceOrder(request)
        stands = await here.get(receipt.order.order_id)
        here.server.hold()
        await here.stub.PlaceOrder(order("busy"))
        await here.server.starts(1)
        await here.stub.PlaceOrder(order("behind"))
        here.server.clock.turn(HOUR)
        queued = await here.get(receipt.order.order_id)
        while queued.order.state == order_pb2.STATE_SCHEDULED:
            queued = await here.get(receipt.order.order_id)
        here.server.release()
        started = await here.server.starts(3)
    assert receipt.order.state == order_pb2.STATE_SCHEDULED
    assert receipt.order.not_before == request.not_before
    assert receipt.position == 0
    assert stands.wait_reason == api.WAIT_REASON_SCHEDULED
    assert queued.position == 1
    assert [attempt.lines[0].sku for attempt in started] == ["busy", "later", "behind"]


async def test_p12_an_order_expires_wherever_it_waits(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.server.hold()
        await here.stub.PlaceOrder(order("busy"))
        await here.server.starts(1)
        await here.stub.PlaceOrder(order("vip", vip=True))
        queued, scheduled = order("queued"), order("scheduled")
        queued.expire_time.CopyFrom(later(HOUR))
        scheduled.not_before.CopyFrom(later(HOUR))
        scheduled.expire_time.CopyFrom(later(2 * HOUR))
        receipts = [await here.stub.PlaceOrder(request) for request in (queued, scheduled)]
        here.server.clock.turn(3 * HOUR)
        ends = [await here.completion(receipt) for receipt in receipts]
    assert [end.order.state for end in ends] == [order_pb2.STATE_EXPIRED] * 2
    assert ends[0].order.expire_time == queued.expire_time


async def test_p12_an_expire_time_before_not_before_is_refused(tmp_path: Path) -> None:
    bad = order()
    bad.not_before.CopyFrom(later(HOUR))
    bad.expire_time.CopyFrom(later(HOUR))
    async with shop(tmp_path, workers=0) as here:
        refusal = await refusal_of(here.stub.PlaceOrder(bad))
    assert refusal.fields == ["expire_time"]


async def test_p2_an_order_that_expired_is_replayed_all_the_same(tmp_path: Path) -> None:
    request = order(request_id="r-1")
    request.expire_time.CopyFrom(later(-HOUR))
    async with shop(tmp_path) as here:
        end = await here.completion(await here.stub.PlaceOrder(request))
        again = await here.stub.PlaceOrder(request)
    assert end.order.state == order_pb2.STATE_EXPIRED
    assert again.replayed
    assert again.order == end.order


async def test_p11_a_failing_order_is_tried_again_and_then_has_failed(tmp_path: Path) -> None:
    async def failing(attempt: OrderAttempt) -> None:
        raise RuntimeError(f"attempt {attempt.attempt}")

    told: dict[str, Any] = {"max_attempts": 3, "retry_delay": 60.0, "exception_text": True}
    async with shop(tmp_path, handler=failing, **told) as here:
        receipt = await here.stub.PlaceOrder(order())
        for attempt in (1, 2):
            await here.server.starts(attempt)
            stands = await here.get(receipt.order.order_id)
            while stands.order.state != order_pb2.STATE_SCHEDULED:
                stands = await here.get(receipt.order.order_id)
            assert stands.wait_reason == api.WAIT_REASON_RETRY
            here.server.clock.turn(HOUR)
        completion = await here.completion(receipt)
    assert completion.order.attempt_count == 3
    assert completion.order.state == order_pb2.STATE_FAILED
    assert completion.failure.message == "RuntimeError: attempt 3"


async def test_p8_a_retried_order_keeps_its_place(tmp_path: Path) -> None:
    async def once(attempt: OrderAttempt) -> None:
        if attempt.lines[0].sku == "first" and attempt.attempt == 1:
            raise Retry(after=HOUR)

    async with shop(tmp_path, handler=once) as here:
        first = await here.stub.PlaceOrder(order("first"))
        stands = await here.get(first.order.order_id)
        while stands.order.state != order_pb2.STATE_SCHEDULED:
            stands = await here.get(first.order.order_id)
        here.server.hold()
        await here.stub.PlaceOrder(order("busy"))
        await here.server.starts(2)
        await here.stub.PlaceOrder(order("second"))
        here.server.clock.turn(2 * HOUR)
        while stands.order.state == order_pb2.STATE_SCHEDULED:
            stands = await here.get(first.order.order_id)
        here.server.release()
        started = await here.server.starts(4)
    assert [a.lines[0].sku for a in started] == ["first", "busy", "first", "second"]


async def test_p11_a_rejected_order_has_failed_with_the_handlers_own_words(tmp_path: Path) -> None:
    async def picky(_: OrderAttempt) -> None:
        raise Reject("OUT_OF_STOCK", "no tea left")

    async with shop(tmp_path, handler=picky) as here:
        completion = await here.completion(await here.stub.PlaceOrder(order()))
    assert completion.order.attempt_count == 1
    assert completion.failure == order_pb2.Failure(code="OUT_OF_STOCK", message="no tea left")


async def test_an_attempt_that_takes_too_long_has_failed(tmp_path: Path) -> None:
    async with shop(tmp_path, attempt_timeout=0.05, max_attempts=1) as here:
        slow = await here.stub.PlaceOrder(order(labels={"processing_time": "60s"}))
        completion = await here.completion(slow)
    assert completion.failure.code == "ATTEMPT_TIMEOUT"


async def test_a_failed_order_is_placed_again_once(tmp_path: Path) -> None:
    async def first_fails(attempt: OrderAttempt) -> None:
        if attempt.order_id.endswith("1"):
            raise Reject("BAD_DAY", "come back tomorrow")

    async with shop(tmp_path, handler=first_fails) as here:
        original = await here.stub.PlaceOrder(order("cake", vip=True))
        failed = await here.completion(original)
        ask = admin.RedriveOrderRequest(order_id=original.order.order_id)
        copy = await here.admin.RedriveOrder(ask)
        again = await here.admin.RedriveOrder(ask)
        end = await here.completion(api.PlaceOrderResponse(order=copy.order, cursor=failed.cursor))
        refusal = await refusal_of(
            here.admin.RedriveOrder(admin.RedriveOrderRequest(order_id=copy.order.order_id))
        )
        stays = await here.get(original.order.order_id)
    assert copy.order.redrive_of == original.order.order_id
    assert (copy.order.tier, copy.order.lines) == (original.order.tier, original.order.lines)
    assert again.replayed
    assert again.order.order_id == copy.order.order_id
    assert end.order.state == order_pb2.STATE_SUCCEEDED
    assert refusal.reason == "ORDER_NOT_REDRIVABLE"
    assert refusal.code == grpc.StatusCode.FAILED_PRECONDITION
    assert stays.completion == failed


@pytest.mark.parametrize("tier", [order_pb2.TIER_VIP, order_pb2.TIER_REGULAR])
async def test_a_paused_tier_waits_through_a_restart_and_the_other_goes_on(
    tmp_path: Path, tier: order_pb2.Tier.ValueType
) -> None:
    is_vip = tier == order_pb2.TIER_VIP
    async with shop(tmp_path) as here:
        await here.admin.PauseTier(admin.PauseTierRequest(tier=tier))
        held = await here.stub.PlaceOrder(order(vip=is_vip))
        free = await here.stub.PlaceOrder(order(vip=not is_vip))
        await here.completion(free)
        stands = await here.get(held.order.order_id)
    async with shop(tmp_path) as here:
        await here.completion(await here.stub.PlaceOrder(order(vip=not is_vip)))
        stats = await here.admin.GetQueueStats(admin.GetQueueStatsRequest())
        await here.admin.ResumeTier(admin.ResumeTierRequest(tier=tier))
        await here.completion(held)
    assert stands.wait_reason == api.WAIT_REASON_TIER_PAUSED
    by_tier = {tier_stats.tier: tier_stats for tier_stats in stats.tiers}
    assert by_tier[tier].paused
    assert by_tier[tier].queued == 1
    assert by_tier[tier].HasField("oldest_waiting_age")


@pytest.mark.parametrize("seconds", [-62_135_596_800, -14_182_940, 0])
async def test_p12_times_long_past_are_kept_and_shown_as_they_were_sent(
    tmp_path: Path, seconds: int
) -> None:
    past = Timestamp(seconds=seconds)
    starting, expiring = order(), order()
    starting.not_before.CopyFrom(past)
    expiring.expire_time.CopyFrom(past)
    async with shop(tmp_path, workers=0) as here:
        starts = await here.stub.PlaceOrder(starting)
        expires = await here.stub.PlaceOrder(expiring)
    async with shop(tmp_path) as here:
        ended, expired = await here.completion(starts), await here.completion(expires)
        copy = await here.admin.RedriveOrder(
            admin.RedriveOrderRequest(order_id=expires.order.order_id)
        )
    assert starts.order.not_before == ended.order.not_before == past
    assert expires.order.expire_time == expired.order.expire_time == past
    assert ended.order.state == order_pb2.STATE_SUCCEEDED
    assert expired.order.state == order_pb2.STATE_EXPIRED
    assert not copy.order.HasField("expire_time")
