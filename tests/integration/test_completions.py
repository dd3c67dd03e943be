"""P9, P14, P16 and P17 over a real channel: the log, by pages and by streams."""

import asyncio
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2, wrappers_pb2

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.handlers import OrderAttempt
from support.gate import Gate
from support.in_process import Stream, Stub, completions, read, serving
from support.orders import order
from support.refusals import Refused, refusal_of

MESSAGE_BYTES = 256 * 1024


async def test_p16_a_stream_says_at_once_that_it_started_and_that_it_caught_up(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, workers=0) as stub:
        stream = stub.StreamCompletions(api.StreamCompletionsRequest())
        started, caught_up = await read(stream), await read(stream)
        stream.cancel()
    assert started.signal == api.SIGNAL_STARTED
    assert caught_up.signal == api.SIGNAL_CAUGHT_UP
    assert started.cursor == caught_up.cursor


async def test_p14_a_stream_cut_behind_any_completion_goes_on_with_the_next(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as stub:
        await asyncio.gather(*(stub.PlaceOrder(order()) for _ in range(30)))
        whole = await completions(stub, 30)
        for cut, completion in enumerate(whole[:-1], start=1):
            assert await completions(stub, 30 - cut, after=completion.cursor) == whole[cut:]
    async with serving(tmp_path) as stub:
        assert await completions(stub, 15, after=whole[14].cursor) == whole[15:]
    assert [c.sequence for c in whole] == list(range(1, 31))


async def test_a_stream_from_latest_tells_only_what_completes_from_now_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as stub:
        await stub.PlaceOrder(order("before"))
        await completions(stub, 1)
        stream = stub.StreamCompletions(api.StreamCompletionsRequest(start_at=api.START_AT_LATEST))
        await stream.read()
        await stub.PlaceOrder(order("after"))
        found = await _next_completions(stream)
        stream.cancel()
    assert [c.order.lines[0].sku for c in found] == ["after"]


async def test_every_subscriber_gets_every_completion(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, handler=gate, workers=4) as stub:
        subscribers = [asyncio.create_task(completions(stub, 100)) for _ in range(20)]
        await asyncio.gather(*(stub.PlaceOrder(order()) for _ in range(100)))
        gate.open()
        logs = await asyncio.gather(*subscribers)
    assert all(log == logs[0] for log in logs)
    assert [c.sequence for c in logs[0]] == list(range(1, 101))


async def test_messages_stay_below_their_bound_and_hold_no_more_than_asked(tmp_path: Path) -> None:
    async def bulky(_: OrderAttempt) -> wrappers_pb2.BytesValue:
        return wrappers_pb2.BytesValue(value=bytes(60_000))

    async with serving(tmp_path, handler=bulky) as stub:
        for _ in range(12):
            await stub.PlaceOrder(order(labels={str(n): "x" * 256 for n in range(16)}))
        await completions(stub, 12)
        sizes, counts = await _sizes(stub, api.StreamCompletionsRequest(), 12)
        _, small = await _sizes(stub, api.StreamCompletionsRequest(max_batch_size=2), 12)
    assert max(sizes) <= MESSAGE_BYTES
    assert sum(counts) == 12
    assert max(counts) > 1
    assert max(small) == 2


async def test_the_log_is_read_page_by_page_and_then_streamed_from_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as stub:
        for _ in range(25):
            await stub.PlaceOrder(order())
        whole = await completions(stub, 25)
        pages, token = [], ""
        while True:
            page = await stub.ListCompletions(
                api.ListCompletionsRequest(page_size=10, page_token=token)
            )
            pages.append(list(page.completions))
            token = page.next_page_token
            if not token:
                break
        await stub.PlaceOrder(order("more"))
        (more,) = await completions(stub, 1, after=page.cursor)
    assert [len(found) for found in pages] == [10, 10, 5]
    assert list(chain.from_iterable(pages)) == whole
    assert more.order.lines[0].sku == "more"


async def test_a_completion_tells_what_the_handler_returned_or_raised(tmp_path: Path) -> None:
    async def handler(attempt: OrderAttempt) -> wrappers_pb2.StringValue | str | None:
        match attempt.lines[0].sku:
            case "good":
                return wrappers_pb2.StringValue(value=f"{attempt.customer_id} {attempt.attempt}")
            case "odd":
                return "not a message"
            case _:
                raise RuntimeError("no flour")

    async with serving(tmp_path, handler=handler, exception_text=True) as stub:
        for sku in ("good", "bad", "odd"):
            await stub.PlaceOrder(order(sku))
        good, bad, odd = await completions(stub, 3)
        found = await stub.GetOrder(api.GetOrderRequest(order_id=bad.order.order_id))

    expected = any_pb2.Any()
    expected.Pack(wrappers_pb2.StringValue(value="ada 1"))
    assert good.order.state == order_pb2.STATE_SUCCEEDED
    assert good.result == expected
    assert not good.HasField("failure")
    assert bad.order.state == order_pb2.STATE_FAILED
    assert bad.failure == order_pb2.Failure(code="HANDLER_ERROR", message="RuntimeError: no flour")
    assert odd.failure.code == "RESULT_INVALID"
    assert found.completion == bad
    assert found.order == bad.order


async def test_p17_bad_cursors_are_told_apart(tmp_path: Path) -> None:
    async with serving(tmp_path / "one") as stub:
        await stub.PlaceOrder(order())
        (foreign,) = await completions(stub, 1)
    async with serving(tmp_path / "two") as stub:
        await stub.PlaceOrder(order())
        (_,) = await completions(stub, 1)
        other = await _stream_refusal(stub, foreign.cursor)
        damaged = await _stream_refusal(stub, foreign.cursor[:-1] + "!")
    assert (other.code, other.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CURSOR_OTHER_LOG",
    )
    assert (damaged.code, damaged.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CURSOR_INVALID")


async def test_p17_a_cursor_ahead_of_a_restored_log_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as stub:
        await stub.PlaceOrder(order())
        await completions(stub, 1)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "orders.db").write_bytes((tmp_path / "orders.db").read_bytes())
    async with serving(tmp_path) as stub:
        await stub.PlaceOrder(order())
        newer = (await completions(stub, 2))[-1].cursor
    async with serving(copy) as stub:
        stream = await _stream_refusal(stub, newer)
        page = await refusal_of(stub.ListCompletions(api.ListCompletionsRequest(page_token=newer)))
    assert stream.reason == page.reason == "CURSOR_AHEAD"
    assert stream.code == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.seconds
@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (api.StreamCompletionsRequest(max_batch_size=1001), "max_batch_size"),
        (api.StreamCompletionsRequest(max_batch_size=-1), "max_batch_size"),
        (api.StreamCompletionsRequest(start_at=api.StartAt.ValueType(9)), "start_at"),
        (
            api.StreamCompletionsRequest(heartbeat_interval=duration_pb2.Duration(seconds=-1)),
            "heartbeat_interval",
        ),
    ],
    ids=str,
)
async def test_a_bad_subscription_names_its_field(
    tmp_path: Path, request_: api.StreamCompletionsRequest, field: str
) -> None:
    async with serving(tmp_path, workers=0) as stub:
        refusal = await refusal_of(stub.StreamCompletions(request_).read())
    assert refusal.fields == [field]


async def _next_completions(stream: Stream) -> Sequence[order_pb2.Completion]:
    while True:
        message = await read(stream)
        if message.completions:
            return message.completions


async def _sizes(
    stub: Stub, request: api.StreamCompletionsRequest, count: int
) -> tuple[list[int], list[int]]:
    """Read a stream until it gave `count` completions; tell each message's bytes and count."""
    sizes: list[int] = []
    counts: list[int] = []
    stream = stub.StreamCompletions(request)
    async for message in stream:
        sizes.append(message.ByteSize())
        counts.append(len(message.completions))
        if sum(counts) == count:
            break
    stream.cancel()
    return sizes, counts


async def _stream_refusal(stub: Stub, cursor: str) -> Refused:
    request = api.StreamCompletionsRequest(after_cursor=cursor)
    return await refusal_of(stub.StreamCompletions(request).read())
