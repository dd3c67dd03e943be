"""W1 to W13: what workers in processes of their own may rely on, through a real channel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2
from orderintake.v1 import order_work_service_pb2 as work
from orderintake_server.config import Settings
from orderintake_server.service import running
from support.hand import Hand, done, given_back
from support.in_process import Stub, completions
from support.metrics import scrape
from support.orders import order
from support.postgres_home import PostgresHome, kinds
from support.refusals import refused as told

RECORDED, LOST = work.OUTCOME_RESULT_RECORDED, work.OUTCOME_RESULT_LEASE_LOST


@dataclass
class Kitchen:
    """A server without workers of its own, and one by hand."""

    stub: Stub
    channel: grpc.aio.Channel
    me: Hand
    http_port: int

    async def place(self, *skus: str, vip: bool = False) -> list[str]:
        """Place an order of each; give their ids."""
        receipts = [await self.stub.PlaceOrder(order(sku, vip=vip)) for sku in skus]
        return [receipt.order.order_id for receipt in receipts]

    async def state(self, order_id: str) -> order_pb2.Order:
        """Give an order as it stands."""
        return (await self.stub.GetOrder(api.GetOrderRequest(order_id=order_id))).order

    async def cancel(self, order_id: str) -> Any:  # noqa: ANN401 - a CancelOrderResponse
        """Cancel an order."""
        return await self.stub.CancelOrder(api.CancelOrderRequest(order_id=order_id))


@asynccontextmanager
async def kitchen_at(data: Path, **settings: Any) -> AsyncIterator[Kitchen]:  # noqa: ANN401
    """Run a server on this directory."""
    places: dict[str, Any] = {"listen": ("127.0.0.1:0",), "http": "127.0.0.1:0"}
    chosen = {"workers": 0, "max_attempts": 1, "retry_delay": 0.0, "vip_reserve": 0.0, **settings}
    async with (
        running(Settings(data=data, drain_timeout=5.0, **places, **chosen)) as service,
        grpc.aio.insecure_channel(service.addresses[0]) as channel,
    ):
        assert service.http_port is not None
        stub = api_grpc.OrderIntakeServiceStub(channel)
        yield Kitchen(stub, channel, Hand(channel), service.http_port)


STORES = [
    pytest.param(None, id="sqlite"),
    *(pytest.param(kind, id=kind.name, marks=pytest.mark.again) for kind in kinds()[:1]),
]


@pytest.fixture(params=STORES)
async def kitchen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kitchen]:
    """A server with an empty store, of SQLite and of PostgreSQL."""
    if request.param is None:
        async with kitchen_at(tmp_path) as found:
            yield found
        return
    home: PostgresHome = request.param(tmp_path)
    await home.open()
    await home.close()
    async with kitchen_at(tmp_path, store=home.url) as found:
        yield found
    await home.leave()


def skus(answer: Any) -> list[str]:  # noqa: ANN401 - a LeaseOrdersResponse
    """Name what was ordered, in the order of the answer."""
    return [leased.order.lines[0].sku for leased in answer.orders]


def results(answer: Any) -> list[tuple[int, int]]:  # noqa: ANN401 - as above
    """Name what became of the outcomes."""
    return [(status.result, status.state) for status in answer.outcomes]


async def test_w1_the_slots_take_the_most_urgent_orders_and_no_more(kitchen: Kitchen) -> None:
    await kitchen.place("tea", "milk", "bread")
    await kitchen.place("cake", vip=True)
    first = await kitchen.me.leases(slots=2)
    assert skus(first) == ["cake", "tea"]
    leased = first.orders[0]
    assert leased.order.state == order_pb2.STATE_PROCESSING
    assert (leased.order.attempt_count, leased.order.start_sequence) == (1, 1)
    assert not leased.HasField("attempt_timeout")
    assert skus(await kitchen.me.leases(slots=32)) == ["milk", "bread"]


async def test_w1_a_call_waits_for_an_order(kitchen: Kitchen) -> None:
    waits = asyncio.ensure_future(kitchen.me.leases(slots=3))
    await are_in_flight(kitchen.http_port, leases=1)
    await kitchen.place("tea")
    assert skus(await waits) == ["tea"]
    assert skus(await kitchen.me.leases(wait=0)) == []


async def test_w1_a_call_that_does_not_wait_gets_what_is_there(kitchen: Kitchen) -> None:
    await kitchen.place("tea", "milk")
    assert skus(await kitchen.me.leases(wait=0)) == ["tea"]
    assert skus(await kitchen.me.leases(wait=0.001)) == ["milk"]


async def test_w1_a_call_is_answered_before_its_deadline(kitchen: Kitchen) -> None:
    request = kitchen.me.asks()
    answer = await kitchen.me.stub.LeaseOrders(request, timeout=1.1)
    assert skus(answer) == []


async def test_w2_outcomes_end_orders_and_their_slots_are_filled(kitchen: Kitchen) -> None:
    ids = await kitchen.place("tea", "milk")
    first = await kitchen.me.leases()
    result = Packed(type_url="type.googleapis.com/shop.Done", value=b"7")
    outcome = work.Outcome(lease=first.orders[0].lease, succeeded=work.Succeeded(result=result))
    second = await kitchen.me.leases(outcome)
    assert results(second) == [(RECORDED, order_pb2.STATE_SUCCEEDED)]
    assert skus(second) == ["milk"]
    (completion,) = await completions(kitchen.stub, 1)
    assert (completion.order.order_id, completion.result) == (ids[0], result)


FAILURE = order_pb2.Failure(code="OVEN_COLD", message="it is cold")
OUTCOMES = {
    "succeeded": (work.Outcome(succeeded=work.Succeeded()), order_pb2.STATE_SUCCEEDED),
    "failed": (work.Outcome(failed=FAILURE), order_pb2.STATE_SCHEDULED),
    "rejected": (work.Outcome(rejected=FAILURE), order_pb2.STATE_FAILED),
    "retry": (
        work.Outcome(retry=work.Retry(after=Duration(seconds=60), failure=FAILURE)),
        order_pb2.STATE_SCHEDULED,
    ),
    "returned": (work.Outcome(returned=work.Returned()), order_pb2.STATE_QUEUED),
    "none": (work.Outcome(), order_pb2.STATE_QUEUED),
}


@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize("is_cancelled", [False, True], ids=["goes on", "cancelled"])
async def test_w2_the_server_decides_what_an_outcome_makes_of_its_order(
    tmp_path: Path, kind: str, *, is_cancelled: bool
) -> None:
    said, state = OUTCOMES[kind]
    async with kitchen_at(tmp_path, max_attempts=2, retry_delay=60.0) as kitchen:
        (order_id,) = await kitchen.place("tea")
        (leased,) = (await kitchen.me.leases()).orders
        if is_cancelled:
            await kitchen.cancel(order_id)
            state = state if kind == "succeeded" else order_pb2.STATE_CANCELLED
        outcome = work.Outcome(lease=leased.lease)
        outcome.MergeFrom(said)
        request = kitchen.me.asks(outcome, slots=0)
        first, again = await kitchen.me.sends(request), await kitchen.me.sends(request)
        assert results(first) == results(again) == [(RECORDED, state)]
        stands = await kitchen.state(order_id)
        assert stands.state == state
        was_made = kind not in {"returned", "none"}
        assert stands.attempt_count == int(was_made or is_cancelled)


async def test_w2_who_lost_its_lease_changes_nothing(kitchen: Kitchen) -> None:
    (order_id,) = await kitchen.place("tea")
    (leased,) = (await kitchen.me.leases()).orders
    assert await kitchen.me.ends() == 1
    other = Hand(kitchen.channel, name="another")
    (again,) = (await other.leases()).orders
    late = await kitchen.me.leases(done(leased.lease), slots=0)
    assert results(late) == [(LOST, order_pb2.STATE_UNSPECIFIED)]
    assert (await kitchen.state(order_id)).state == order_pb2.STATE_PROCESSING
    recorded = await other.leases(done(again.lease), slots=0)
    assert results(recorded) == [(RECORDED, order_pb2.STATE_SUCCEEDED)]


async def test_w2_the_last_attempt_that_fails_ends_the_order(kitchen: Kitchen) -> None:
    (order_id,) = await kitchen.place("tea")
    (leased,) = (await kitchen.me.leases()).orders
    failed = work.Outcome(lease=leased.lease, failed=order_pb2.Failure(message="cold"))
    answer = await kitchen.me.leases(failed, slots=0)
    assert results(answer) == [(RECORDED, order_pb2.STATE_FAILED)]
    (completion,) = await completions(kitchen.stub, 1)
    assert (completion.order.order_id, completion.failure.code) == (order_id, "HANDLER_ERROR")


async def test_w3_a_repeat_is_answered_the_same(kitchen: Kitchen) -> None:
    await kitchen.place("tea", "milk", "bread")
    request = kitchen.me.asks(slots=2)
    first, again = await kitchen.me.sends(request), await kitchen.me.sends(request)
    assert skus(first) == ["tea", "milk"]
    assert [one.lease for one in again.orders] == [one.lease for one in first.orders]
    assert again.orders[0].order == first.orders[0].order


async def test_w3_a_repeat_is_answered_the_same_after_a_restart(tmp_path: Path) -> None:
    async with kitchen_at(tmp_path) as kitchen:
        await kitchen.place("tea")
        request = kitchen.me.asks()
        first = await kitchen.me.sends(request)
    async with kitchen_at(tmp_path) as kitchen:
        again = await kitchen.me.sends(request)
        assert [one.lease for one in again.orders] == [one.lease for one in first.orders]
        kitchen.me.calls = request.call
        recorded = await kitchen.me.leases(done(first.orders[0].lease), slots=0)
        assert results(recorded) == [(RECORDED, order_pb2.STATE_SUCCEEDED)]


async def test_w3_a_repeat_takes_the_place_of_its_first_call(kitchen: Kitchen) -> None:
    request = kitchen.me.asks()
    first = asyncio.ensure_future(kitchen.me.sends(request))
    await are_in_flight(kitchen.http_port, leases=1)
    again = asyncio.ensure_future(kitchen.me.sends(request))
    assert skus(await first) == []
    await kitchen.place("tea")
    assert skus(await again) == ["tea"]


async def test_w4_orders_for_a_caller_that_left_wait_again_uncounted(kitchen: Kitchen) -> None:
    for _ in range(5):
        call = kitchen.me.sends(kitchen.me.asks())
        placing = asyncio.ensure_future(kitchen.place("tea"))
        await asyncio.sleep(0)
        call.cancel()
        await placing
    other = Hand(kitchen.channel, name="another")
    found: list[work.LeasedOrder] = []
    while len(found) < 5:
        # an answer may have been lost on its way; a name that is new is answered at once
        await kitchen.me.keeps(name=f"kitchen:{len(found)}:{other.calls}")
        found += (await other.leases(slots=8, wait=0.1)).orders
    assert {leased.order.attempt_count for leased in found} == {1}


async def test_w4_an_inventory_returns_what_no_answer_brought(kitchen: Kitchen) -> None:
    (order_id,) = await kitchen.place("tea")
    await kitchen.me.sends(kitchen.me.asks())  # and nobody keeps the answer
    news = await kitchen.me.keeps(name="kitchen:7", capacity=4)
    assert (list(news.stops), list(news.lost)) == ([], [])
    stands = await kitchen.state(order_id)
    assert (stands.state, stands.attempt_count) == (order_pb2.STATE_QUEUED, 0)


async def test_w7_what_a_worker_that_ends_still_has_waits_again_uncounted(kitchen: Kitchen) -> None:
    ids = await kitchen.place("tea", "milk")
    await kitchen.me.leases(slots=2)
    waits = asyncio.ensure_future(kitchen.me.leases())
    await are_in_flight(kitchen.http_port, leases=1)
    assert await kitchen.me.ends() == 2
    assert skus(await waits) == []
    assert await kitchen.me.ends() == 0
    assert skus(await kitchen.me.leases(wait=0)) == []
    assert [(await kitchen.state(each)).attempt_count for each in ids] == [0, 0]


async def test_w7_a_worker_that_stops_is_given_nothing_any_more(kitchen: Kitchen) -> None:
    waits = asyncio.ensure_future(kitchen.me.leases())
    await are_in_flight(kitchen.http_port, leases=1)
    await kitchen.me.keeps(1, stopping=True)
    assert skus(await waits) == []
    await kitchen.place("tea")
    assert skus(await kitchen.me.leases(wait=0)) == []
    other = Hand(kitchen.channel, name="another")
    assert skus(await other.leases()) == ["tea"]


async def test_w9_a_worker_hears_of_a_cancel(kitchen: Kitchen) -> None:
    (order_id,) = await kitchen.place("tea")
    (leased,) = (await kitchen.me.leases()).orders
    keeps = asyncio.ensure_future(kitchen.me.keeps())
    await are_in_flight(kitchen.http_port, keeps=1)
    assert (await kitchen.cancel(order_id)).outcome == api.CANCEL_OUTCOME_CANCEL_REQUESTED
    news = await keeps
    assert (list(news.stops), list(news.lost)) == ([leased.lease], [])
    said = work.Outcome(lease=leased.lease, failed=order_pb2.Failure(code="STOPPED"))
    answer = await kitchen.me.leases(said, slots=0)
    assert results(answer) == [(RECORDED, order_pb2.STATE_CANCELLED)]


async def test_w12_a_server_that_stops_sends_waiting_calls_away(tmp_path: Path) -> None:
    places: dict[str, Any] = {"listen": ("127.0.0.1:0",), "http": "127.0.0.1:0"}
    async with running(Settings(data=tmp_path, workers=0, **places)) as service:
        assert service.http_port is not None
        channel = grpc.aio.insecure_channel(service.addresses[0])  # it outlives the server
        me = Hand(channel)
        await me.keeps(name="kitchen:7")
        calls = [asyncio.ensure_future(me.leases()) for _ in range(20)]
        keeps = asyncio.ensure_future(me.keeps(*range(1, 21)))
        await are_in_flight(service.http_port, leases=20, keeps=1)
        assert not keeps.done()
    assert {(await call).signal for call in calls} == {work.WORK_SIGNAL_GOING_AWAY}
    assert (await keeps).signal == work.WORK_SIGNAL_GOING_AWAY
    await channel.close()


async def are_in_flight(port: int, *, leases: int = 0, keeps: int = 0) -> None:
    """Wait until a server has so many calls of LeaseOrders that wait, and of KeepLeases."""
    keeping = "orderintake.v1.OrderWorkService/KeepLeases"
    async with asyncio.timeout(10):
        while True:
            found = await scrape(port)
            kept = found.value("rpc_in_flight", method=keeping)
            if (found.value("remote_calls_waiting"), kept) == (leases, keeps):
                return


async def test_w13_an_outcome_that_cannot_be_stored_is_its_own_orders_failure(
    kitchen: Kitchen,
) -> None:
    await kitchen.place("tea", "milk", "bread")
    leased = (await kitchen.me.leases(slots=3)).orders
    large = Packed(type_url="x", value=b"x" * 65_536)
    bad = work.Outcome(lease=leased[0].lease, succeeded=work.Succeeded(result=large))
    odd = order_pb2.Failure(code="A\0B\n" + "C" * 100, message="\0" * 5_000)
    worse = work.Outcome(lease=leased[1].lease, rejected=odd)
    answer = await kitchen.me.leases(bad, worse, done(leased[2].lease), slots=0)
    assert [state for _, state in results(answer)] == [
        *(order_pb2.STATE_FAILED, order_pb2.STATE_FAILED, order_pb2.STATE_SUCCEEDED),
    ]
    found = await completions(kitchen.stub, 3)
    assert [each.failure.code for each in found] == ["RESULT_INVALID", "A?B?" + "C" * 60, ""]


async def test_a_text_that_is_no_lease_refuses_the_whole_call(kitchen: Kitchen) -> None:
    (order_id,) = await kitchen.place("tea")
    (leased,) = (await kitchen.me.leases()).orders
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await kitchen.me.leases(done(leased.lease), done("x"), slots=0)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told(refused.value).reason == "LEASE_INVALID"
    assert (await kitchen.state(order_id)).state == order_pb2.STATE_PROCESSING


async def test_there_are_so_many_workers_at_the_most(tmp_path: Path) -> None:
    async with kitchen_at(tmp_path, worker_limit=1) as kitchen:
        await kitchen.me.leases(wait=0)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await Hand(kitchen.channel, name="another").leases(wait=0)
        assert told(refused.value).reason == "WORKER_LIMIT"


async def test_an_attempt_comes_with_its_time(tmp_path: Path) -> None:
    async with kitchen_at(tmp_path, attempt_timeout=60.0) as kitchen:
        await kitchen.place("tea")
        request = kitchen.me.asks()
        (first,) = (await kitchen.me.sends(request)).orders
        (again,) = (await kitchen.me.sends(request)).orders
        assert 59 < again.attempt_timeout.ToNanoseconds() / 1e9 < 60
        assert again.attempt_timeout.ToNanoseconds() < first.attempt_timeout.ToNanoseconds()


async def test_operators_see_who_processes_what(kitchen: Kitchen) -> None:
    (order_id,) = await kitchen.place("tea")
    await kitchen.me.leases()
    await kitchen.me.keeps(name="kitchen:7", capacity=16)
    stub: Any = admin_grpc.OrderAdminServiceStub(kitchen.channel)
    found = await stub.ListWorkers(admin.ListWorkersRequest())
    (worker,) = found.workers
    assert (worker.name, worker.worker_id, worker.kind) == (
        "kitchen:7",
        "me-7f3a",
        admin.WORKER_KIND_REMOTE,
    )
    assert (worker.capacity, worker.busy, found.total) == (16, 1, 1)
    assert [attempt.order_id for attempt in worker.attempts] == [order_id]
    assert 0 < worker.start_time.seconds <= worker.heartbeat_time.seconds
    await until_workers(stub, 16)
    await kitchen.me.ends()
    assert not (await stub.ListWorkers(admin.ListWorkersRequest())).workers
    await until_workers(stub, 0)


async def until_workers(stub: Any, count: int) -> None:  # noqa: ANN401 - a stub
    """Wait until so many slots are counted; servers that share a store hear of it soon."""
    async with asyncio.timeout(10):
        while (await stub.GetQueueStats(admin.GetQueueStatsRequest())).workers != count:
            pass


async def test_an_order_that_is_given_back_comes_right_back(kitchen: Kitchen) -> None:
    await kitchen.place("tea")
    (leased,) = (await kitchen.me.leases()).orders
    answer = await kitchen.me.leases(given_back(leased.lease), slots=0)
    assert results(answer) == [(RECORDED, order_pb2.STATE_QUEUED)]
    (again,) = (await kitchen.me.leases()).orders
    assert again.lease != leased.lease
    assert again.order.attempt_count == 1


async def test_health_answers_for_workers(kitchen: Kitchen) -> None:
    stub: Any = health_pb2_grpc.HealthStub(kitchen.channel)
    asked = health_pb2.HealthCheckRequest(service="orderintake.v1.OrderWorkService")
    assert (await stub.Check(asked)).status == health_pb2.HealthCheckResponse.SERVING
