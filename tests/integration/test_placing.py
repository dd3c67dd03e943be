"""P23 over a real channel: many orders on one call, each accepted or refused for itself."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.access import AccessTable
from orderintake_server.access.entries import Entry, parse
from support.callers import bearing, entry, key_of, write_access
from support.gate import Gate
from support.in_process import Stub, completions, listening, serving
from support.orders import order
from support.placing import PlacingCall, numbers, reasons
from support.refusals import refused, refused_order

ADA = bearing(key_of("ada"))


async def test_p23_orders_are_accepted_in_the_order_in_which_they_were_sent(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=0) as stub:
        call = await PlacingCall.begin(stub)
        for number in range(100):
            await call.send(*[order(f"sku-{number}", vip=number % 3 == 0)] * (1 + number % 4))
        results = await call.until(250)
        assert await call.end() is grpc.StatusCode.OK
    assert call.max_unacknowledged == 1_000
    assert numbers(results) == list(range(1, 251))
    assert len(call.responses) < 100, "results that are there together go together"


async def test_p23_a_receipt_is_that_of_place_order(tmp_path: Path) -> None:
    asked = order("tea", request_id="r-1", labels={"table": "7"})
    async with serving(tmp_path, workers=0) as stub:
        call = await PlacingCall.begin(stub)
        (result,) = await call.place(asked)
        again = await stub.PlaceOrder(asked)
        (repeat,) = await call.place(asked)
    assert not result.receipt.replayed
    assert (again.replayed, repeat.receipt.replayed) == (True, True)
    for each in (again, repeat.receipt):
        each.replayed = False
        assert each == result.receipt


async def test_p23_a_refusal_is_its_orders_alone_and_names_its_fields(tmp_path: Path) -> None:
    bulky = order()
    bulky.payload.Pack(wrappers_pb2.BytesValue(value=bytes(70_000)))
    async with serving(tmp_path, workers=0) as stub:
        call = await PlacingCall.begin(stub)
        results = await call.place(
            order(request_id="r-1"),
            api.PlaceOrderRequest(request_id="tab\t"),
            order("other", request_id="r-1"),
            bulky,
            order(),
        )
        more = await call.place(order())
        assert await call.end() is grpc.StatusCode.OK
    assert reasons(results) == ["", "INVALID_ORDER", "REQUEST_ID_REUSED", "INVALID_ORDER", ""]
    bad, reused, large = (refused_order(results[at].refusal) for at in (1, 2, 3))
    assert bad.code is grpc.StatusCode.INVALID_ARGUMENT
    assert bad.fields == ["request_id", "customer_id", "lines"]
    assert reused.code is grpc.StatusCode.ALREADY_EXISTS
    assert reused.metadata == {"order_id": results[0].receipt.order.order_id}
    assert large.fields == [""]
    assert numbers([results[0], results[4], *more]) == [1, 2, 3]


async def test_p5_each_order_beyond_the_room_is_refused_with_a_time_to_come_back(
    tmp_path: Path,
) -> None:
    gate = Gate()
    async with serving(tmp_path, handler=gate, queue_limit=3, vip_reserve=0.34) as stub:
        call = await PlacingCall.begin(stub)
        await call.place(order())
        await gate.starts(1)
        results = await call.place(*[order(request_id=f"r-{n}") for n in range(4)], order(vip=True))
        (replay,) = await call.place(order(request_id="r-0"))
        gate.open()
        await completions(stub, 4)
        (later,) = await call.place(order(request_id="r-3"))
    assert reasons(results) == ["", "", "QUEUE_FULL", "QUEUE_FULL", ""]
    assert refused_order(results[2].refusal).retry_seconds
    assert replay.receipt.replayed
    assert not later.receipt.replayed


async def test_a_customers_rate_is_judged_order_by_order(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=0, customer_rate=0.001, customer_burst=2) as stub:
        call = await PlacingCall.begin(stub)
        known = [order(request_id=f"r-{n}") for n in range(2)]
        results = await call.place(*known, order(), order(customer_id="bob"))
        repeats = await call.place(*known)
    assert reasons(results) == ["", "", "CUSTOMER_QUOTA", ""]
    assert [result.receipt.replayed for result in repeats] == [True, True]
    assert refused_order(results[2].refusal).retry_seconds


async def test_p25_vip_and_whose_order_it_is_are_judged_order_by_order(tmp_path: Path) -> None:
    access = write_access(
        tmp_path / "access.toml", [entry("ada", "customer", customer="ada"), entry("eve", "worker")]
    )
    async with serving(tmp_path / "data", workers=0, access=access) as stub:
        call = await PlacingCall.begin(stub, ADA)
        results = await call.place(
            order(), order(vip=True), order(customer_id="bob"), order(customer_id="")
        )
        with pytest.raises(grpc.aio.AioRpcError) as strange:
            await PlacingCall.begin(stub, bearing(key_of("eve")))
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await PlacingCall.begin(stub)
    assert reasons(results) == ["", "NOT_ALLOWED", "NOT_ALLOWED", ""]
    assert refused_order(results[1].refusal).metadata == {"needs": "vip"}
    assert refused_order(results[2].refusal).metadata == {"needs": "customer"}
    assert refused(strange.value).reason == "NOT_ALLOWED"
    assert refused(unknown.value).reason == "UNAUTHENTICATED"


async def test_a_call_ends_with_its_callers_right_after_all_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: list[AccessTable] = []
    take = AccessTable.take

    def noted(table: AccessTable, found: Iterable[Entry]) -> None:
        tables.append(table)
        take(table, found)

    monkeypatch.setattr(AccessTable, "take", noted)
    access = write_access(tmp_path / "access.toml", [entry("ada", "customer", customer="ada")])
    async with serving(tmp_path / "data", workers=0, access=access) as stub:
        call = await PlacingCall.begin(stub, ADA)
        await call.place(order())
        await call.send(*[order()] * 200)
        await call.until(2)  # all of them were read by then
        tables[0].take(parse(entry("bob", "customer", customer="bob")))
        await call.call.write(api.PlaceOrdersRequest(orders=[order()]))
        refusal = await call.refusal()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert numbers(call.results) == list(range(1, 202))


BAD = {
    "no message": b"\x0f",
    "an order that is none": b"\x0a\x02\x0a\xff",
    "no order": b"",
    "too many orders": b"\x0a\x00" * 1_001,
    "too large": b"\x0a\x00" * (3 * 1024**2 // 2 + 1),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_message_that_is_none_ends_the_call_after_all_results(
    tmp_path: Path, name: str
) -> None:
    path = "/orderintake.v1.OrderIntakeService/PlaceOrders"
    good = api.PlaceOrdersRequest(orders=[order()] * 50).SerializeToString()
    async with (
        listening(tmp_path, workers=0) as (address, _),
        grpc.aio.insecure_channel(address) as channel,
    ):
        method: Any = channel.stream_stream(path)
        raw = method()
        started = api.PlaceOrdersResponse.FromString(await raw.read())
        for message in (good, good, BAD[name]):
            await raw.write(message)
        results: list[api.PlaceOrdersResult] = []
        error = await _read_raw(raw, results)
    assert started.signal == api.SIGNAL_STARTED
    assert refused(error).reason == "INVALID_ORDER"
    assert numbers(results) == list(range(1, 101))


async def _read_raw(raw: Any, results: list[api.PlaceOrdersResult]) -> grpc.aio.AioRpcError:  # noqa: ANN401
    """Read on until the call is broken; give the error."""
    try:
        while True:
            results += api.PlaceOrdersResponse.FromString(await raw.read()).results
    except grpc.aio.AioRpcError as error:
        return error


async def test_p3_a_caller_who_leaves_loses_the_answers_not_the_orders(tmp_path: Path) -> None:
    placed = [order(request_id=f"r-{n}") for n in range(120)]
    async with serving(tmp_path) as stub:
        call = await PlacingCall.begin(stub)
        await call.send(*placed[:80])
        await call.until(1)
        await call.send(*placed[80:])
        call.call.cancel()
        again = await PlacingCall.begin(stub)
        results = await again.place(*placed)
        await completions(stub, 120)
    assert all(result.receipt.replayed for result in results[:80])
    assert numbers(results) == list(range(1, 121))


async def test_responses_of_bulky_orders_stay_below_256_kib(tmp_path: Path) -> None:
    bulky = order()
    bulky.payload.Pack(wrappers_pb2.BytesValue(value=bytes(60_000)))
    async with serving(tmp_path, workers=0) as stub:
        call = await PlacingCall.begin(stub)
        results = await call.place(*[bulky] * 40)
    assert numbers(results) == list(range(1, 41))
    assert max(response.ByteSize() for response in call.responses) < 256 * 1024


async def test_there_are_no_more_calls_at_once_than_there_may_be(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=0, subscriber_limit=1) as stub:
        first = await PlacingCall.begin(stub)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await PlacingCall.begin(stub)
        assert numbers(await first.place(order())) == [1]
        assert await first.end() is grpc.StatusCode.OK
        second = await PlacingCall.begin(stub)
        assert numbers(await second.place(order())) == [2]
    assert refused(refusal.value).reason == "TOO_MANY_STREAMS"
    assert refused(refusal.value).retry_seconds == 5.0


@pytest.mark.seconds
async def test_who_takes_no_results_loses_the_call_and_makes_room(tmp_path: Path) -> None:
    verbose = api.PlaceOrderRequest(lines=[order_pb2.OrderLine()] * 50)  # refused in 4 KiB
    settings: dict[str, Any] = {"subscriber_timeout": 0.3, "subscriber_limit": 1}
    async with serving(tmp_path, workers=0, **settings) as stub:
        stuck = await PlacingCall.begin(stub)
        await stuck.send(order())
        for _ in range(5):  # more than a client takes without being asked
            await stuck.send(*[verbose] * 400)
        other = await _begin_when_there_is_room(stub)
        assert numbers(await other.place(order())) == [2]
        refusal = await stuck.refusal()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "SUBSCRIBER_TOO_SLOW")
    assert 1 < len(stuck.results) < 2_001
    assert numbers(stuck.results[:1]) == [1]


async def _begin_when_there_is_room(stub: Stub) -> PlacingCall:
    """Begin as soon as there are fewer calls than there may be."""
    while True:
        try:
            return await PlacingCall.begin(stub)
        except grpc.aio.AioRpcError as error:
            if refused(error).reason != "TOO_MANY_STREAMS":
                raise


async def test_p19_a_stop_answers_what_was_read_and_then_says_so(tmp_path: Path) -> None:
    async with AsyncExitStack() as until_the_end:
        async with listening(tmp_path, workers=0) as (address, _):
            channel = await until_the_end.enter_async_context(grpc.aio.insecure_channel(address))
            idle, busy = [await PlacingCall.begin(Stub(channel)) for _ in range(2)]
            await busy.place(order())
            await busy.send(*[order()] * 500)
            await busy.until(2)
        for call in (idle, busy):
            refusal = await call.refusal()
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
            assert call.responses[-1].signal == api.SIGNAL_GOING_AWAY
    assert idle.results == []
    assert numbers(busy.results) == list(range(1, 502))


async def test_p19_a_call_that_begins_while_the_server_stops_is_told_why(tmp_path: Path) -> None:
    gate = Gate()
    async with AsyncExitStack() as until_the_end:
        service = await until_the_end.enter_async_context(AsyncExitStack())
        address, stub = await service.enter_async_context(listening(tmp_path, handler=gate))
        channel = await until_the_end.enter_async_context(grpc.aio.insecure_channel(address))
        idle = await PlacingCall.begin(Stub(channel))
        await stub.PlaceOrder(order())
        await gate.starts(1)
        stopping = asyncio.create_task(service.aclose())
        assert (await idle.refusal()).reason == "DRAINING"
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await PlacingCall.begin(Stub(channel))
        gate.open()
        await stopping
    assert (refused(late.value).code, refused(late.value).reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "DRAINING",
    )


async def test_each_order_keeps_the_trace_of_its_call(tmp_path: Path) -> None:
    traced = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
    async with serving(tmp_path) as stub:
        call = await PlacingCall.begin(stub, traced)
        await call.place(order(), order())
        found = await completions(stub, 2)
    assert [each.traceparent for each in found] == [traced[0][1]] * 2
