"""A database that is away: callers are told in time, and all goes on by itself when it is back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.store.postgres import schema as postgres_schema
from orderintake_server.store.postgres import store as postgres_store
from orderintake_server.store.postgres.audit import audit
from orderintake_server.store.postgres.connector import Connector
from support.gate import Gate
from support.http_port import http_port, until_reasons
from support.in_process import Stream, Stub, completions, read, serving
from support.metrics import get, scrape
from support.orders import order
from support.pooler import pooler
from support.postgres import DATABASE, Cluster, binaries
from support.postgres_home import running
from support.process import ServerProcess, server_process
from support.proxy import Proxy, proxy
from support.refusals import refusal_of, refused
from support.remote_gate import remote_gate
from support.replicas import until

CALL_SECONDS = 1.0
"""For one call of the database, by a server in this process."""
LEASE = 1.0
SHORT = ("--lease", str(LEASE))
READS = 40
"""Many more than a server has connections for them."""
STUCK_SECONDS = 10
"""Behind the drain time-out: then a server ends whatever it waits for."""
UNUSED = Path("/nonexistent")
"""The directory of a store that no server has."""
_NUMBERS = count(1)


def _cluster() -> Cluster:
    return running(binaries()[0])


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take whatever is sent, and say nothing."""
    while await reader.read(64 * 1024):
        pass
    writer.close()


class Way:
    """The way to a database with an empty store, which can be blocked."""

    def __init__(self, through: Proxy, database: str, silent: str) -> None:
        self.url = f"postgresql://{DATABASE}@{through.address}/{database}"
        self._database = database
        self._through = through
        self._target = through.target
        self._silent = silent

    def swallow(self) -> None:
        """Let nothing come through any more, and nobody be told."""
        self._through.swallow()
        self._through.target = self._silent

    def refuse(self) -> None:
        """Hang up, and refuse whoever comes."""
        self._through.target = "127.0.0.1:1"
        self._through.cut()

    def clear(self) -> None:
        """Let new connections through; those that were lost stay lost."""
        self._through.target = self._target

    async def until_dead(self) -> None:
        """Wait until the only server was silent for longer than its lease."""
        await until(self._is_dead)

    async def _is_dead(self) -> bool:
        query = "SELECT expires_at < clock_timestamp() FROM orderintake.sessions"
        found = await asyncio.to_thread(_cluster().run_sql, query, database=self._database)
        return found == "t"


@pytest.fixture
async def database() -> AsyncIterator[str]:
    """The name of a database with a store of the test's own, which obeys all rules at the end."""
    cluster, name = _cluster(), f"outage_{next(_NUMBERS)}"
    await asyncio.to_thread(cluster.create_database, name)
    await postgres_schema.migrate(cluster.url(name))
    yield name
    assert await audit(cluster.url(name)) == []


@pytest.fixture
async def way(database: str) -> AsyncIterator[Way]:
    """The way to it."""
    silent = await asyncio.start_server(_silence, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with proxy(f"127.0.0.1:{_cluster().port}") as through:
        yield Way(through, database, f"127.0.0.1:{port}")
    silent.close()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server in this process wait for the database no longer than a test may."""

    def impatient(address: str, is_pooled: bool, *_: float) -> Connector:  # noqa: FBT001 - as it is
        return Connector(address, is_pooled, CALL_SECONDS, CALL_SECONDS)

    monkeypatch.setattr(postgres_store, "Connector", impatient)


async def _until_placed(stub: Stub, request_id: str) -> api.PlaceOrderResponse:
    """Place an order again and again, until the store is there."""
    while True:
        try:
            return await stub.PlaceOrder(order(request_id=request_id))
        except grpc.aio.AioRpcError as error:
            if refused(error).reason != "STORAGE_UNAVAILABLE":
                raise


@asynccontextmanager
async def _server(
    *arguments: str, env: dict[str, str] | None = None
) -> AsyncIterator[tuple[ServerProcess, Stub]]:
    """Run a server process, whose way to the database may be in this event loop."""
    with server_process(UNUSED, *arguments, env=env, waits=False) as process:
        await asyncio.to_thread(lambda: process.address)
        async with grpc.aio.insecure_channel(process.address) as channel:
            yield process, Stub(channel)


async def _next_completion(stream: Stream) -> order_pb2.Completion:
    while not (message := await read(stream)).completions:
        pass
    (completion,) = message.completions
    return completion


async def _heartbeat(stream: Stream) -> None:
    while (await read(stream)).signal != api.SIGNAL_HEARTBEAT:
        pass


@pytest.mark.seconds
@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("is_pooled", [False, True])
async def test_a_database_that_says_nothing_costs_callers_seconds_and_subscribers_nothing(
    way: Way, *, is_pooled: bool
) -> None:
    async with (
        asyncio.timeout(30),
        serving(UNUSED, store=way.url, pooler=is_pooled) as stub,
    ):
        often = api.StreamCompletionsRequest(heartbeat_interval=Duration(seconds=1))
        stream = stub.StreamCompletions(often)
        placed = await stub.PlaceOrder(order())
        await _next_completion(stream)
        way.swallow()
        get = api.GetOrderRequest(order_id=placed.order.order_id)
        async with asyncio.timeout(3 * CALL_SECONDS):
            refusals = await asyncio.gather(
                refusal_of(stub.PlaceOrder(order(request_id="once"))),
                refusal_of(stub.ListCompletions(api.ListCompletionsRequest())),
                *(refusal_of(stub.GetOrder(get)) for _ in range(READS)),
            )
        await _heartbeat(stream)
        way.clear()
        again = await _until_placed(stub, "once")
        told = await _next_completion(stream)
        stream.cancel()
    assert {refusal.reason for refusal in refusals} == {"STORAGE_UNAVAILABLE"}
    assert told.order.order_id == again.order.order_id
    assert told.sequence == 2


@pytest.mark.seconds
async def test_what_waits_starts_behind_an_outage_longer_than_a_lease_though_nobody_calls(
    way: Way,
) -> None:
    gate = Gate()
    async with (
        asyncio.timeout(30),
        serving(UNUSED, store=way.url, handler=gate, lease=LEASE) as stub,
    ):
        for _ in range(3):
            await stub.PlaceOrder(order())
        await gate.starts(1)
        way.refuse()
        gate.open()
        await way.until_dead()
        way.clear()
        found = await completions(stub, 3)
    assert [c.order.accept_sequence for c in found] == [1, 2, 3]


@pytest.mark.seconds
async def test_p19_a_stop_without_a_database_is_in_order_and_loses_only_the_attempt(
    way: Way,
) -> None:
    async with asyncio.timeout(30), remote_gate() as gate:
        arguments = ("--store", way.url, *SHORT, "--workers", "1", *gate.arguments)
        async with _server(*arguments, env=gate.env) as (server, stub):
            await stub.PlaceOrder(order())
            await gate.starts(1)
            way.refuse()
            await gate.let_through(1)
            async with asyncio.timeout(5):
                assert await server.stops() == 0
        way.clear()
        await gate.let_through(1)
        async with _server(*arguments, env=gate.env) as (_, stub):
            (completion,) = await completions(stub, 1)
    lost = "the store cannot be written; orders in process will be processed again"
    assert lost in server.events()
    assert completion.order.attempt_count == 2


@pytest.mark.seconds
async def test_p19_a_server_whose_database_is_away_is_not_ready_until_it_is_back(way: Way) -> None:
    async with asyncio.timeout(30), _server("--store", way.url, "--http", "127.0.0.1:0") as started:
        server, stub = started
        port = http_port(server)
        await stub.PlaceOrder(order())
        assert (await get(port, "/readyz")).status == 200
        way.refuse()
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.PlaceOrder(order())
        assert (await until_reasons(port, ["store_away"])).status == 503
        assert (await scrape(port)).value("store_up") == 0
        assert (await get(port, "/healthz")).status == 200
        way.clear()
        assert (await until_reasons(port, [])).status == 200
        assert (await scrape(port)).value("store_up") == 1


@pytest.mark.slow
async def test_p19_a_stop_waits_no_longer_for_a_database_that_says_nothing(way: Way) -> None:
    arguments = ("--store", way.url, "--drain-timeout", "0")
    async with _server(*arguments) as (server, _):
        way.swallow()
        async with asyncio.timeout(STUCK_SECONDS + 3):
            assert await server.stops() == 1


@pytest.fixture
def pooled(database: str) -> Iterator[str]:
    """The address of the database by way of a pooler in transaction mode."""
    try:
        with pooler(_cluster(), database=database) as url:
            yield url
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.mark.seconds
async def test_replicas_behind_a_pooler_place_process_stream_and_cancel_for_each_other(
    pooled: str,
) -> None:
    async with asyncio.timeout(30), remote_gate() as gate, AsyncExitStack() as life:
        arguments = ("--store", pooled, "--pooler", "true", *gate.arguments)
        start = [_server(*arguments, "--workers", workers, env=gate.env) for workers in ("1", "0")]
        (one, a), (other, b) = [await life.enter_async_context(server) for server in start]
        streamed = asyncio.ensure_future(completions(b, 3))
        placed = [await stub.PlaceOrder(order(request_id=str(n))) for n, stub in enumerate((a, b))]
        urgent = await b.PlaceOrder(order("urgent", vip=True))
        again = await a.PlaceOrder(order(request_id="1"))
        await gate.starts(1)
        cancelled = await a.CancelOrder(_cancel(placed[1]))
        requested = await b.CancelOrder(_cancel(placed[0]))
        await gate.let_through(2)
        found = await streamed
        assert [await server.stops() for server in (one, other)] == [0, 0]
    assert again.replayed
    assert cancelled.outcome == api.CANCEL_OUTCOME_CANCELLED
    assert requested.outcome == api.CANCEL_OUTCOME_CANCEL_REQUESTED
    ids = [receipt.order.order_id for receipt in (placed[1], placed[0], urgent)]
    assert [c.order.order_id for c in found] == ids


def _cancel(receipt: api.PlaceOrderResponse) -> api.CancelOrderRequest:
    return api.CancelOrderRequest(order_id=receipt.order.order_id)
