"""P14 to P17 over real channels: filters, slow readers, old connections, and every cut there is."""

import asyncio
from contextlib import AsyncExitStack
from itertools import chain
from pathlib import Path

import grpc
import pytest
from google.protobuf import duration_pb2, wrappers_pb2

from orderintake import AsyncClient
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.handlers import OrderAttempt
from support.in_process import Stream, Stub, completions, listening, read, serving
from support.orders import order
from support.proxy import proxy
from support.refusals import refusal_of
from support.watched import subscribers_become

SHORTEST = duration_pb2.Duration(seconds=1)


async def next_with(stream: Stream, *, signal: api.Signal.ValueType) -> list[str]:
    """Read up to a signal; tell the skus of what came before it."""
    found: list[str] = []
    while (message := await read(stream)).signal != signal:
        found += _skus(message.completions)
    return found


def _skus(found: object) -> list[str]:
    return [each.order.lines[0].sku for each in found]  # type: ignore[attr-defined]


async def test_a_stream_tells_of_one_customer_or_one_tier_from_the_log_and_live(
    tmp_path: Path,
) -> None:
    async def place(stub: Stub, prefix: str) -> None:
        for customer, tier in (("ada", 1), ("bob", 1), ("bob", 2), ("ada", 2)):
            request = order(f"{prefix} {customer} {tier}", customer_id=customer)
            request.tier = order_pb2.Tier.ValueType(tier)
            await stub.PlaceOrder(request)

    async with serving(tmp_path) as stub:
        await place(stub, "old")
        await completions(stub, 4)
        bobs = stub.StreamCompletions(api.StreamCompletionsRequest(customer_id="bob"))
        vips = stub.StreamCompletions(api.StreamCompletionsRequest(tier=order_pb2.TIER_VIP))
        assert await next_with(bobs, signal=api.SIGNAL_CAUGHT_UP) == ["old bob 1", "old bob 2"]
        assert await next_with(vips, signal=api.SIGNAL_CAUGHT_UP) == ["old bob 2", "old ada 2"]
        await place(stub, "new")
        found: dict[str, list[str]] = {"bobs": [], "vips": []}
        for name, stream in (("bobs", bobs), ("vips", vips)):
            while len(found[name]) < 2:
                message = await read(stream)
                found[name] += _skus(message.completions)
            stream.cancel()
        everything = await completions(stub, 8)
        (after,) = await completions(stub, 1, after=everything[6].cursor)
    assert sorted(found["bobs"]) == ["new bob 1", "new bob 2"]
    assert sorted(found["vips"]) == ["new ada 2", "new bob 2"]
    assert after == everything[7]


@pytest.mark.seconds
async def test_p16_a_quiet_customers_cursor_moves_on_and_is_good_for_any_filter(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as stub:
        quiet = stub.StreamCompletions(
            api.StreamCompletionsRequest(customer_id="eve", heartbeat_interval=SHORTEST)
        )
        await next_with(quiet, signal=api.SIGNAL_CAUGHT_UP)
        for number in range(5):
            await stub.PlaceOrder(order(str(number)))
        whole = await completions(stub, 5)
        while (heartbeat := await read(quiet)).cursor != whole[-1].cursor:
            assert heartbeat.signal == api.SIGNAL_HEARTBEAT  # sent before the last completion
        quiet.cancel()
        assert heartbeat.signal == api.SIGNAL_HEARTBEAT
        await stub.PlaceOrder(order("next"))
        (found,) = await completions(stub, 1, after=heartbeat.cursor)
    assert _skus([found]) == ["next"]


async def test_p17_a_cursor_that_was_pruned_is_refused_with_the_earliest_that_is_good(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as stub:
        for _ in range(3):
            await stub.PlaceOrder(order())
        old, _, newest = await completions(stub, 3)
    async with serving(tmp_path, retention=0.001) as stub:
        latest = stub.StreamCompletions(api.StreamCompletionsRequest(start_at=api.START_AT_LATEST))
        await read(latest)
        while not (refusal := await _refused_page(stub, old.cursor)):
            pass  # pruning is begun by the clock alone
        request = api.StreamCompletionsRequest(after_cursor=old.cursor)
        streamed = await refusal_of(stub.StreamCompletions(request).read())
        latest.cancel()
    assert refusal == streamed.reason == "CURSOR_EXPIRED"
    assert streamed.code == grpc.StatusCode.OUT_OF_RANGE
    assert streamed.metadata["earliest_cursor"] == newest.cursor


async def _refused_page(stub: Stub, cursor: str) -> str:
    try:
        await stub.ListCompletions(api.ListCompletionsRequest(page_token=cursor))
    except grpc.aio.AioRpcError:
        request = api.ListCompletionsRequest(page_token=cursor)
        return (await refusal_of(stub.ListCompletions(request))).reason
    return ""


async def test_leaving_ends_the_stream_at_once(tmp_path: Path) -> None:
    async with listening(tmp_path) as (address, stub):
        streams = [stub.StreamCompletions(api.StreamCompletionsRequest()) for _ in range(50)]
        for stream in streams:
            await read(stream)
        await subscribers_become(address, 50)
        for stream in streams:
            stream.cancel()
        await subscribers_become(address, 0)


async def bulky(_: OrderAttempt) -> wrappers_pb2.BytesValue:
    """Return a result of 60 KB."""
    return wrappers_pb2.BytesValue(value=bytes(60_000))


async def test_p15_who_takes_nothing_is_ended_and_goes_on_from_its_cursor(tmp_path: Path) -> None:
    async with listening(tmp_path, handler=bulky, workers=8, subscriber_timeout=0.3) as (
        address,
        stub,
    ):
        stuck = stub.StreamCompletions(api.StreamCompletionsRequest())
        found = [await read(stuck)]
        await asyncio.gather(*(stub.PlaceOrder(order()) for _ in range(150)))
        whole = await completions(stub, 150)  # another one is not held up
        await subscribers_become(address, 0)
        ended = await read_to_end(stuck, found)
        seen = list(chain.from_iterable(message.completions for message in found))
        rest = await completions(stub, 150 - len(seen), after=found[-1].cursor)
    assert ended.code() is grpc.StatusCode.ABORTED
    assert "resume from the last cursor" in (ended.details() or "")
    assert 0 < len(seen) < 150
    assert seen + rest == whole


async def test_p15_the_client_goes_on_by_itself_when_it_was_too_slow(tmp_path: Path) -> None:
    async with (
        listening(tmp_path, handler=bulky, workers=8, subscriber_timeout=0.3) as (address, stub),
        AsyncClient(address) as client,
        client.completions() as stream,
    ):
        await asyncio.gather(*(stub.PlaceOrder(order()) for _ in range(150)))
        await completions(stub, 150)
        await subscribers_become(address, 0)
        found = [(await anext(stream)).sequence for _ in range(150)]
    assert found == list(range(1, 151))


@pytest.mark.seconds
async def test_p14_connections_that_end_of_age_are_not_noticed(tmp_path: Path) -> None:
    async with (
        listening(tmp_path, max_connection_age=0.3) as (address, _),
        proxy(address) as way,
        AsyncClient(way.address) as client,
        client.completions() as stream,
    ):
        found = []
        while way.connections < 4:
            await client.place(customer_id="ada", lines={"tea": 1})
            found.append((await anext(stream)).sequence)
    assert found == list(range(1, len(found) + 1))


@pytest.fixture
async def recorded(tmp_path: Path) -> list[api.StreamCompletionsResponse]:
    """Every message of a stream that has all kinds of them."""
    messages: list[api.StreamCompletionsResponse] = []
    async with AsyncExitStack() as until_the_end:
        async with listening(tmp_path) as (address, stub):
            for number in range(7):
                await stub.PlaceOrder(order(str(number)))
            await completions(stub, 7)
            channel = await until_the_end.enter_async_context(grpc.aio.insecure_channel(address))
            stream = Stub(channel).StreamCompletions(
                api.StreamCompletionsRequest(max_batch_size=3, heartbeat_interval=SHORTEST)
            )
            await _read_up_to(stream, messages, api.SIGNAL_CAUGHT_UP)
            for number in range(7, 12):
                await stub.PlaceOrder(order(str(number)))
            await _read_up_to(stream, messages, api.SIGNAL_HEARTBEAT)
            reading = asyncio.create_task(read_to_end(stream, messages))
        ended = await reading
    assert ended.code() is grpc.StatusCode.UNAVAILABLE
    return messages


async def _read_up_to(
    stream: Stream, messages: list[api.StreamCompletionsResponse], signal: api.Signal.ValueType
) -> None:
    while not messages or messages[-1].signal != signal:
        messages.append(await read(stream))


async def read_to_end(
    stream: Stream, messages: list[api.StreamCompletionsResponse]
) -> grpc.aio.AioRpcError:
    """Read on until the server ends the stream; give the error by which it does."""
    try:
        while True:
            messages.append(await read(stream))
    except grpc.aio.AioRpcError as ended:
        return ended


@pytest.mark.seconds
async def test_p14_cut_behind_any_message_or_inside_it_a_stream_goes_on_whole(
    tmp_path: Path, recorded: list[api.StreamCompletionsResponse]
) -> None:
    assert {message.signal for message in recorded} == {
        api.SIGNAL_STARTED,
        api.SIGNAL_UNSPECIFIED,
        api.SIGNAL_CAUGHT_UP,
        api.SIGNAL_HEARTBEAT,
        api.SIGNAL_GOING_AWAY,
    }
    whole = list(chain.from_iterable(message.completions for message in recorded))
    assert [each.sequence for each in whole] == list(range(1, 13))
    cuts = [(0, "")]
    for message in recorded:
        seen = cuts[-1][0]
        inside = enumerate(message.completions, seen + 1)
        cuts += [(count, each.cursor) for count, each in inside]
        cuts.append((seen + len(message.completions), message.cursor))
    async with serving(tmp_path, workers=0) as stub:
        for seen, cursor in cuts:
            assert await _after(stub, cursor) == whole[seen:], cursor


async def _after(stub: Stub, cursor: str) -> list[order_pb2.Completion]:
    """Read from a cursor up to the head of the log."""
    request = api.StreamCompletionsRequest(after_cursor=cursor, max_batch_size=2)
    stream = stub.StreamCompletions(request)
    found: list[order_pb2.Completion] = []
    while (message := await read(stream)).signal != api.SIGNAL_CAUGHT_UP:
        found += message.completions
    stream.cancel()
    return found


@pytest.mark.seconds
async def test_p14_cut_behind_any_byte_a_connection_is_come_back_from(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    cuts = 400 if pytestconfig.getoption("--slow") else 25
    async with listening(tmp_path) as (address, stub):
        for number in range(10):
            await stub.PlaceOrder(order(str(number)))
        await completions(stub, 10)
        async with proxy(address) as way:
            assert await _ten(way.address) == list(range(1, 11))
            total = way.sent_back
            for number in range(cuts):
                way.cut_after = 1 + number * total // cuts
                assert await _ten(way.address) == list(range(1, 11)), way.cut_after


async def _ten(address: str) -> list[int]:
    """Read ten completions by the client, which comes back by itself."""
    async with AsyncClient(address) as client, client.completions(max_batch_size=3) as stream:
        return [(await anext(stream)).sequence for _ in range(10)]
