"""P19: a server that is told to stop says so, finishes what runs, and loses nothing."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.in_process import Stub, completions, read
from support.orders import order
from support.process import ServerProcess, server_process, serving_process
from support.refusals import refused
from support.remote_gate import remote_gate

log = structlog.get_logger()
_T = TypeVar("_T")

OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
ROUNDS = 10
ACKNOWLEDGED = 500
"""Orders that a round takes before the server is told to stop."""
BULK = {str(key): "x" * 256 for key in range(16)}
"""Labels that make an order of 4 KiB: of these, a client that reads nothing takes some 1000."""
CHANNELS = 8
CALLERS = 25
"""On each channel: callers that ask again at once, whatever they are answered."""


@dataclass(kw_only=True)
class Ended:
    """How a completion stream ended: its last message, all its completions, its status."""

    last: api.StreamCompletionsResponse
    completions: list[order_pb2.Completion]
    outcome: str


@dataclass(kw_only=True)
class Load:
    """What many callers met while a server stopped."""

    outcomes: Counter[str] = field(default_factory=Counter)
    acknowledged: list[str] = field(default_factory=list)
    streams: list[Ended] = field(default_factory=list)
    watched: list[int] = field(default_factory=list)
    is_under_way: asyncio.Event = field(default_factory=asyncio.Event)

    async def place_until_the_port_is_closed(self, stub: Stub) -> None:
        """Place orders without a pause; being refused is no reason to stop."""
        outcome = ""
        while outcome != "UNAVAILABLE":
            try:
                receipt = await stub.PlaceOrder(order(labels={"processing_time": "0.02s"}))
            except grpc.aio.AioRpcError as error:
                outcome = _outcome(error)
            else:
                outcome = "OK"
                self.acknowledged.append(receipt.order.order_id)
                if len(self.acknowledged) == ACKNOWLEDGED:
                    self.is_under_way.set()
            self.outcomes[outcome] += 1

    async def stream(self, stub: Stub) -> None:
        """Read completions until the server ends the stream."""
        call = stub.StreamCompletions(api.StreamCompletionsRequest())
        messages, outcome = await _to_the_end(call)
        completions = [c for message in messages for c in message.completions]
        self.streams.append(Ended(last=messages[-1], completions=completions, outcome=outcome))

    async def watch(self, channel: grpc.aio.Channel) -> None:
        """Watch the health until the server ends the watch."""
        stub: Any = health_pb2_grpc.HealthStub(channel)
        messages, outcome = await _to_the_end(stub.Watch(health_pb2.HealthCheckRequest()))
        self.watched += [message.status for message in messages]
        self.outcomes[outcome] += 1


async def _to_the_end(call: grpc.aio.UnaryStreamCall[Any, _T]) -> tuple[list[_T], str]:
    """Read a stream until it fails; tell all its messages, and how it failed."""
    messages: list[_T] = []
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            messages.append(cast("_T", message))
    except grpc.aio.AioRpcError as error:
        return messages, _outcome(error)
    raise AssertionError("the stream ended, yet did not fail")


def _outcome(error: grpc.aio.AioRpcError) -> str:
    """Tell a refusal of the contract by its reason, all others by their code."""
    if dict(error.trailing_metadata() or ()).get("grpc-status-details-bin") is None:
        return error.code().name
    refusal = refused(error)
    assert refusal.retry_seconds
    return f"{refusal.code.name} {refusal.reason}"


@asynccontextmanager
async def _channels(server: ServerProcess) -> AsyncIterator[list[grpc.aio.Channel]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(server.address, OWN_CONNECTION)
            )
            for _ in range(CHANNELS)
        ]


async def _stop_under_load(server: ServerProcess) -> tuple[Load, int]:
    load = Load()
    async with _channels(server) as channels, asyncio.TaskGroup() as tasks:
        stubs = [Stub(channel) for channel in channels]
        for stub in stubs[:3]:
            tasks.create_task(load.stream(stub))
        tasks.create_task(load.watch(channels[3]))
        for stub in stubs * CALLERS:
            tasks.create_task(load.place_until_the_port_is_closed(stub))
        await load.is_under_way.wait()
        code = await server.stops()
    return load, code


@pytest.mark.seconds
@pytest.mark.timeout(240)
async def test_p19_no_call_ends_cancelled_when_a_server_under_load_stops(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    outcomes: Counter[str] = Counter()
    streams: list[Ended] = []
    for _ in range(ROUNDS):
        with server_process(tmp_path, "--drain-timeout", "10") as server:
            load, code = await _stop_under_load(server)
        acknowledged += load.acknowledged
        outcomes += load.outcomes
        assert code == 0
        assert load.watched == [health_pb2.HealthCheckResponse.SERVING, _NOT_SERVING]
        _check_streams(load.streams)
        streams += load.streams
    log.info("stopped under load", **outcomes)
    assert set(outcomes) == {"OK", "UNAVAILABLE DRAINING", "UNAVAILABLE"}
    async with serving_process(tmp_path, "--workers", "0") as (_, stub):
        await _check_all_stored(stub, acknowledged)
        await _check_cursors(stub, streams)


_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _check_streams(streams: list[Ended]) -> None:
    """Every stream said goodbye; whoever was ahead of another saw the same and more."""
    longest = max((stream.completions for stream in streams), key=len)
    for stream in streams:
        assert stream.outcome == "UNAVAILABLE DRAINING"
        assert stream.last.signal == api.SIGNAL_GOING_AWAY
        assert stream.last.cursor == stream.completions[-1].cursor
        assert stream.completions == longest[: len(stream.completions)]
        assert [c.sequence for c in stream.completions] == list(
            range(1, len(stream.completions) + 1)
        )


async def _check_cursors(stub: Stub, streams: list[Ended]) -> None:
    """What follows the last cursor of a stream is what it did not see."""
    for stream in streams:
        token = stream.last.cursor
        page = await stub.ListCompletions(api.ListCompletionsRequest(page_token=token))
        assert [c.sequence for c in page.completions[:1]] in (
            [len(stream.completions) + 1],
            [],
        )


async def _check_all_stored(stub: Stub, order_ids: list[str]) -> None:
    assert len(order_ids) == len(set(order_ids)) >= ROUNDS * ACKNOWLEDGED
    for order_id in order_ids:
        found = await stub.GetOrder(api.GetOrderRequest(order_id=order_id))
        assert found.order.order_id == order_id


@pytest.mark.always
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_p19_running_orders_finish_and_waiting_ones_stay(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with remote_gate() as gate:
        async with serving_process(tmp_path, "--workers", "2", *gate.arguments, env=gate.env) as (
            server,
            stub,
        ):
            for sku in ("first", "second", "third"):
                await stub.PlaceOrder(order(sku))
            await gate.starts(2)
            stopping = asyncio.create_task(server.stops(number))
            await asyncio.to_thread(server.wait_for, "stopping")
            await gate.let_through(2)
            assert await stopping == 0
        assert [start.sku for start in gate.started] == ["first", "second"]
        async with serving_process(tmp_path) as (_, stub):
            found = await completions(stub, 3)
    assert [c.order.lines[0].sku for c in found[2:]] == ["third"]
    assert {c.order.lines[0].sku for c in found[:2]} == {"first", "second"}
    assert [c.order.attempt_count for c in found] == [1, 1, 1]
    assert [c.order.start_sequence for c in found[2:]] == [3]


@pytest.mark.always
async def test_p19_an_order_that_outlasts_the_drain_timeout_is_given_back_uncounted(
    tmp_path: Path,
) -> None:
    async with remote_gate() as gate:
        arguments = ("--workers", "1", "--drain-timeout", "0.2", *gate.arguments)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            await stub.PlaceOrder(order("long"))
            await stub.PlaceOrder(order("vip", vip=True))
            await gate.starts(1)
            began = time.monotonic()
            assert await server.stops() == 0
            assert time.monotonic() - began < 10
            assert "attempts interrupted at shutdown; they will run again" in server.events()
        await gate.let_through(3)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            assert server.log[0]["recovered"] == 0
            found = await completions(stub, 2)
    assert [c.order.lines[0].sku for c in found] == ["vip", "long"]
    assert [c.order.attempt_count for c in found] == [1, 1]
    assert [(start.sku, start.attempt) for start in gate.started] == [
        ("long", 1),
        ("vip", 1),
        ("long", 1),
    ]


async def test_p19_while_it_drains_new_orders_are_refused_and_the_rest_is_served(
    tmp_path: Path,
) -> None:
    async with (
        remote_gate() as gate,
        serving_process(tmp_path, *gate.arguments, env=gate.env) as (server, stub),
    ):
        receipt = await stub.PlaceOrder(order())
        await gate.starts(1)
        stopping = asyncio.create_task(server.stops())
        await asyncio.to_thread(server.wait_for, "stopping")
        assert await _health(server) == _NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.PlaceOrder(order())
        stands = await stub.GetOrder(api.GetOrderRequest(order_id=receipt.order.order_id))
        stream = stub.StreamCompletions(api.StreamCompletionsRequest())
        signals = [(await read(stream)).signal, (await read(stream)).signal]
        await gate.let_through(1)
        last = [await read(stream), await read(stream)]
        assert await stopping == 0
    assert _outcome(caught.value) == "UNAVAILABLE DRAINING"
    assert stands.order.state == order_pb2.STATE_PROCESSING
    assert signals == [api.SIGNAL_STARTED, api.SIGNAL_CAUGHT_UP]
    assert [c.order.order_id for c in last[0].completions] == [receipt.order.order_id]
    assert last[1].signal == api.SIGNAL_GOING_AWAY


async def _health(server: ServerProcess) -> int:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return int((await stub.Check(health_pb2.HealthCheckRequest())).status)


@pytest.mark.seconds
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_p19_a_second_signal_ends_at_once_and_loses_nothing(
    tmp_path: Path, second: signal.Signals
) -> None:
    async with remote_gate() as gate:
        flags = ("--drain-timeout", "3600", "--workers", "1", "--log-level", "debug")
        arguments = (*flags, *gate.arguments)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            placed = [await stub.PlaceOrder(order()) for _ in range(20)]
            await gate.starts(1)
            server.signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait_for, "another signal ends at once")
            assert await server.stops(second) == 128 + second
        async with serving_process(tmp_path) as (server, stub):
            assert server.log[0]["recovered"] == 1
            found = await completions(stub, 20)
    assert [c.order.order_id for c in found] == [receipt.order.order_id for receipt in placed]
    assert [c.order.attempt_count for c in found] == [2] + [1] * 19


@pytest.mark.seconds
async def test_p19_a_subscriber_that_does_not_read_holds_up_neither_the_stop_nor_others(
    tmp_path: Path,
) -> None:
    requests = api.BatchPlaceOrdersRequest(requests=[order(labels=BULK)] * 500)
    async with serving_process(tmp_path) as (server, stub), _channels(server) as channels:
        for _ in range(6):
            await stub.BatchPlaceOrders(requests)
        frozen = Stub(channels[0]).StreamCompletions(api.StreamCompletionsRequest())
        await read(frozen)
        found = await completions(stub, 3_000)
        after = api.StreamCompletionsRequest(after_cursor=found[-1].cursor)
        other = Stub(channels[1]).StreamCompletions(after)
        assert (await read(other)).signal == api.SIGNAL_STARTED
        assert await server.stops() == 0
        rest, outcome = await _to_the_end(other)
        late, frozen_outcome = await _to_the_end(frozen)
    assert [message.signal for message in rest] == [api.SIGNAL_CAUGHT_UP, api.SIGNAL_GOING_AWAY]
    assert outcome == "UNAVAILABLE DRAINING"
    seen = [c for message in late for c in message.completions]
    assert seen == found[: len(seen)]
    assert frozen_outcome in {"UNAVAILABLE", "UNAVAILABLE DRAINING"}
