"""P5, P7 and what a caller is told while an order waits; lists, filters and retention."""

import asyncio
import random
from pathlib import Path

import grpc

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.in_process import completions
from support.lives import shop
from support.orders import order
from support.refusals import refusal_of


async def test_the_position_is_exact_after_random_mixes(tmp_path: Path) -> None:
    chance = random.Random(3)
    waiting: list[order_pb2.Order] = []
    async with shop(tmp_path, workers=0) as here:
        for _ in range(300):
            if waiting and chance.random() < 0.3:
                gone = waiting.pop(chance.randrange(len(waiting)))
                await here.cancel(gone.order_id)
                continue
            receipt = await here.stub.PlaceOrder(order(vip=chance.random() < 0.3))
            waiting.append(receipt.order)
            waiting.sort(key=lambda o: (-o.tier, o.accept_sequence))
            assert receipt.position == waiting.index(receipt.order) + 1
        asked = [await here.get(o.order_id) for o in waiting]
    assert [answer.position for answer in asked] == list(range(1, len(waiting) + 1))
    assert {answer.wait_reason for answer in asked} == {api.WAIT_REASON_ORDERS_AHEAD}


async def test_the_wait_is_estimated_once_service_times_were_measured(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        for _ in range(5):
            placed = await here.stub.PlaceOrder(order(labels={"processing_time": "0.02s"}))
            await here.completion(placed)
        here.server.hold()
        await here.stub.PlaceOrder(order())
        await here.server.starts(6)
        receipt = await here.stub.PlaceOrder(order())
        stands = await here.get(receipt.order.order_id)
    assert receipt.HasField("estimated_start_time")
    estimates = (
        stands.earliest_start_time,
        stands.estimated_start_time,
        stands.latest_start_time,
    )
    assert sorted(time.ToNanoseconds() for time in estimates) == [
        time.ToNanoseconds() for time in estimates
    ]


async def test_p5_a_share_of_the_room_is_kept_for_vip_orders(tmp_path: Path) -> None:
    async with shop(tmp_path, workers=0, queue_limit=10, vip_reserve=0.2) as here:
        regular = await asyncio.gather(
            *(here.stub.PlaceOrder(order()) for _ in range(20)), return_exceptions=True
        )
        vip = await asyncio.gather(
            *(here.stub.PlaceOrder(order(vip=True)) for _ in range(5)), return_exceptions=True
        )
    assert sum(isinstance(outcome, grpc.RpcError) for outcome in regular) == 12
    assert sum(isinstance(outcome, grpc.RpcError) for outcome in vip) == 3


async def test_p5_a_customers_waiting_orders_are_limited_exactly(tmp_path: Path) -> None:
    async with shop(tmp_path, workers=0, customer_queue_limit=3) as here:
        outcomes = await asyncio.gather(
            *(here.stub.PlaceOrder(order()) for _ in range(10)), return_exceptions=True
        )
        refusal = await refusal_of(here.stub.PlaceOrder(order()))
        await here.stub.PlaceOrder(order(customer_id="bob"))
    async with shop(tmp_path, workers=0, customer_queue_limit=3) as here:
        assert (await refusal_of(here.stub.PlaceOrder(order()))).reason == "CUSTOMER_QUOTA"
    assert sum(isinstance(outcome, grpc.RpcError) for outcome in outcomes) == 7
    assert refusal.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "CUSTOMER_QUOTA"
    assert refusal.retry_seconds


async def test_p5_a_customers_rate_is_limited(tmp_path: Path) -> None:
    async with shop(tmp_path, workers=0, customer_rate=0.001, customer_burst=2) as here:
        for _ in range(2):
            await here.stub.PlaceOrder(order())
        refusal = await refusal_of(here.stub.PlaceOrder(order()))
        await here.stub.PlaceOrder(order(customer_id="bob"))
    assert refusal.reason == "CUSTOMER_QUOTA"


async def test_p7_with_a_head_start_only_vip_orders_of_that_time_overtake(tmp_path: Path) -> None:
    async with shop(tmp_path, vip_head_start=60.0) as here:
        here.server.hold()
        await here.stub.PlaceOrder(order("busy"))
        await here.server.starts(1)
        await here.stub.PlaceOrder(order("regular"))
        here.server.clock.turn(30.0)
        await here.stub.PlaceOrder(order("vip in time", vip=True))
        here.server.clock.turn(60.0)
        late = await here.stub.PlaceOrder(order("vip too late", vip=True))
        here.server.release()
        started = await here.server.starts(4)
    assert late.position == 3
    assert [attempt.lines[0].sku for attempt in started] == [
        *("busy", "vip in time", "regular", "vip too late"),
    ]


async def test_orders_keep_their_rule_when_the_policy_changes(tmp_path: Path) -> None:
    async with shop(tmp_path, workers=0) as here:
        await here.stub.PlaceOrder(order("regular"))
        here.server.clock.turn(60.0)
        await here.stub.PlaceOrder(order("vip", vip=True))
    async with shop(tmp_path, vip_head_start=10.0) as here:
        started = await here.server.starts(2)
    assert [attempt.lines[0].sku for attempt in started] == ["regular", "vip"]


async def test_orders_are_listed_page_by_page_while_they_move(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        receipts = [
            await here.stub.PlaceOrder(order(vip=n % 2 == 0, customer_id=f"c{n % 3}"))
            for n in range(30)
        ]
        found: list[order_pb2.Order] = []
        token = ""
        while True:
            page = await here.stub.ListOrders(api.ListOrdersRequest(page_size=7, page_token=token))
            found += page.orders
            token = page.next_page_token
            if not token:
                break
        await here.completion(receipts[-1])
        mine = await here.stub.ListOrders(
            api.ListOrdersRequest(
                customer_id="c1", tier=order_pb2.TIER_VIP, state=order_pb2.STATE_SUCCEEDED
            )
        )
        newest = await here.stub.ListOrders(api.ListOrdersRequest(newest_first=True, page_size=3))
        token = newest.next_page_token
        last = api.ListOrdersRequest(newest_first=True, page_size=1000, page_token=token)
        rest = await here.stub.ListOrders(last)
        others = [api.ListOrdersRequest(page_token=each) for each in ("what", token)]
        others.append(api.ListOrdersRequest(newest_first=True, customer_id="c1", page_token=token))
        bad = [await refusal_of(here.stub.ListOrders(request)) for request in others]
        number = receipts[9].order.accept_sequence
        known = await here.stub.GetOrder(api.GetOrderRequest(accept_sequence=number))
        unknown = [
            await refusal_of(here.stub.GetOrder(api.GetOrderRequest(accept_sequence=each)))
            for each in (31, 2**63 - 1)
        ]
    assert [o.order_id for o in found] == [r.order.order_id for r in receipts]
    assert {(o.customer_id, o.tier) for o in mine.orders} == {("c1", order_pb2.TIER_VIP)}
    assert len(mine.orders) == 5
    listed = [*newest.orders, *rest.orders]
    assert [o.order_id for o in listed] == [r.order.order_id for r in reversed(receipts)]
    assert [each.reason for each in bad] == ["CURSOR_INVALID"] * 3
    assert known.order.order_id == receipts[9].order.order_id
    assert [each.reason for each in unknown] == ["ORDER_NOT_FOUND"] * 2


async def test_completions_are_filtered_by_customer_and_tier(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        for n in range(20):
            await here.stub.PlaceOrder(order(vip=n % 2 == 0, customer_id=f"c{n % 4}"))
        whole = await completions(here.stub, 20)
        page = await here.stub.ListCompletions(
            api.ListCompletionsRequest(customer_id="c2", tier=order_pb2.TIER_VIP)
        )
    assert list(page.completions) == [
        c for c in whole if c.order.customer_id == "c2" and c.order.tier == order_pb2.TIER_VIP
    ]
    assert page.cursor == whole[-1].cursor
    assert not page.next_page_token


async def test_p2_and_p17_hold_when_old_orders_have_been_forgotten(tmp_path: Path) -> None:
    request = order("tea", request_id="r-1")
    async with shop(tmp_path, retention=3600.0) as here:
        first = await here.stub.PlaceOrder(request)
        old = await here.completion(first)
        here.server.clock.turn(7200.0)
        newer = await here.stub.PlaceOrder(order("cake"))
        await here.completion(newer)
        call = api.GetOrderRequest(order_id=first.order.order_id)
        while True:
            try:
                await here.stub.GetOrder(call)
            except grpc.RpcError:
                break
        replay = await here.stub.PlaceOrder(request)
        reused = await refusal_of(here.stub.PlaceOrder(order("soup", request_id="r-1")))
        expired = await refusal_of(
            here.stub.StreamCompletions(
                api.StreamCompletionsRequest(after_cursor=first.cursor)
            ).read()
        )
        left = await completions(here.stub, 1)
        again = await completions(here.stub, 1, after=expired.metadata["earliest_cursor"])
    assert replay.replayed
    assert replay.order.order_id == first.order.order_id
    assert replay.order.state == order_pb2.STATE_SUCCEEDED
    assert replay.order.lines == request.lines
    assert replay.order.complete_time == old.order.complete_time
    assert reused.reason == "REQUEST_ID_REUSED"
    assert expired.code == grpc.StatusCode.OUT_OF_RANGE
    assert expired.reason == "CURSOR_EXPIRED"
    assert left == again
    assert left[0].sequence == 2
