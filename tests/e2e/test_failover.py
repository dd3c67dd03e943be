"""P1, P2, P10, P14 when a database is lost: what was acknowledged is on the standby too."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from orderintake import AsyncClient, DeadlineExceeded, Unavailable
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.store.postgres import schema as postgres_schema
from orderintake_server.store.postgres.audit import audit
from support.gate import Gate
from support.in_process import completions, serving
from support.orders import order
from support.process import ServerProcess, WorkerProcess, server_process, worker_process
from support.refusals import refusal_of
from support.standby import Pair, pair

CALLERS = 4
ORDERS = 300
"""Acknowledged before the primary is lost, and as many behind that."""
NO_HANDLERS = ("--workers", "0")
DOES = ("--handler", "support.work_handlers:does", "--slots", "4")
COMMIT = "commit_changes"
BARRIER = "pg_logical_emit_message"
UNUSED = Path("/nonexistent")
"""The directory of a store that no server has."""


@pytest.fixture
def database() -> Iterator[Pair]:
    """A primary with an empty store, and its standby."""
    with pair() as made:
        asyncio.run(postgres_schema.migrate(made.url))
        yield made


class Load:
    """Callers of two servers, each placing one order after the other until it is stored."""

    def __init__(self, *addresses: str) -> None:
        self.order_ids: dict[str, str] = {}
        self.durabilities: list[api.Durability.ValueType] = []
        self.seen: list[order_pb2.Completion] = []
        self._addresses = addresses
        self._numbers = count(1)
        self._grown = asyncio.Condition()
        self._is_over = False

    async def call(self, turn: int) -> None:
        """Be a caller, of this server or that; now and then it says the same to the other."""
        async with (
            AsyncClient(self._addresses[turn % 2]) as one,
            AsyncClient(self._addresses[1 - turn % 2]) as other,
        ):
            while not self._is_over:
                request_id = f"request {next(self._numbers)}"
                receipt = await _until_stored(one, request_id)
                if request_id.endswith("0"):
                    again = await _until_stored(other, request_id)
                    assert again.order.order_id == receipt.order.order_id
                await self._note(request_id, receipt)

    async def follow(self) -> None:
        """Be a subscriber, for ever."""
        async with AsyncClient(self._addresses[0]) as client, client.completions() as stream:
            async for completion in stream:
                async with self._grown:
                    self.seen.append(completion)
                    self._grown.notify_all()

    async def acknowledged(self, orders: int) -> None:
        """Wait until so many orders are acknowledged."""
        async with self._grown:
            await self._grown.wait_for(lambda: len(self.order_ids) >= orders)

    async def told(self) -> None:
        """Wait until the subscriber has been told of as many as were acknowledged."""
        async with self._grown:
            await self._grown.wait_for(lambda: len(self.seen) >= len(self.order_ids))

    def end(self) -> None:
        """Let each caller go when its order is stored."""
        self._is_over = True

    async def _note(self, request_id: str, receipt: api.PlaceOrderResponse) -> None:
        async with self._grown:
            self.order_ids[request_id] = receipt.order.order_id
            self.durabilities.append(receipt.durability)
            self._grown.notify_all()


async def _until_stored(client: AsyncClient, request_id: str) -> api.PlaceOrderResponse:
    while True:
        try:
            return await client.place(
                customer_id="ada",
                lines={"tea": 1},
                request_id=request_id,
                labels={"processing_time": "0.005s"},
            )
        except (Unavailable, DeadlineExceeded):
            pass  # its attempts all fell into the time without a primary


@pytest.fixture
def servers(database: Pair) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers that know both databases."""
    with ExitStack() as life:
        yield _servers(life, database, "--workers", "4")


def _servers(
    life: ExitStack, database: Pair, *arguments: str
) -> tuple[ServerProcess, ServerProcess]:
    given = ("--store", database.url, *arguments)
    one, other = (life.enter_context(server_process(UNUSED, *given)) for _ in range(2))
    return one, other


@pytest.mark.always
async def test_p1_p10_p14_losing_the_primary_under_load_loses_nothing_and_all_goes_on_by_itself(
    database: Pair, servers: tuple[ServerProcess, ServerProcess]
) -> None:
    await _lose_the_primary(database, servers)


@pytest.mark.seconds
async def test_w2_w3_workers_elsewhere_go_on_by_themselves_too(database: Pair) -> None:
    with ExitStack() as life:
        servers = _servers(life, database, *NO_HANDLERS)
        workers = [life.enter_context(worker_process(server.address, *DOES)) for server in servers]
        seen = await _lose_the_primary(database, servers, workers)
    assert {completion.order.attempt_count for completion in seen} == {1}


async def _lose_the_primary(
    database: Pair,
    servers: tuple[ServerProcess, ServerProcess],
    workers: Sequence[WorkerProcess] = (),
) -> list[order_pb2.Completion]:
    """Place orders at both servers, now with one database, now with the other; check all ends."""
    load = Load(*(server.address for server in servers))
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(load.follow())
        async with asyncio.TaskGroup() as callers:
            for turn in range(CALLERS):
                callers.create_task(load.call(turn))
            await load.acknowledged(ORDERS)
            before = len(load.order_ids)
            await database.fail_over()
            await load.acknowledged(before + ORDERS)
            load.end()
        await load.told()
        following.cancel()
    processes = [*workers, *servers]
    assert all(process.is_running() for process in processes)
    assert {await process.stops() for process in processes} == {0}

    ended = [c.order.order_id for c in load.seen]
    assert sorted(ended) == sorted(load.order_ids.values())
    assert [c.sequence for c in load.seen] == list(range(1, len(ended) + 1))
    numbers = sorted(c.order.accept_sequence for c in load.seen)
    assert numbers == list(range(1, len(ended) + 1))
    assert set(load.durabilities[:before]) == {api.DURABILITY_REPLICATED}
    assert load.durabilities[-1] == api.DURABILITY_FSYNC
    assert await audit(database.url) == []
    return load.seen


@pytest.mark.seconds
@pytest.mark.parametrize("end", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_p1_p2_what_the_standby_may_lack_is_not_acknowledged_and_neither_is_a_repeat(
    database: Pair, end: str
) -> None:
    async with asyncio.timeout(30), serving(UNUSED, store=database.url, workers=0) as stub:
        await stub.PlaceOrder(order())
        await database.lose_standby()
        refused = asyncio.ensure_future(refusal_of(stub.PlaceOrder(order(request_id="once"))))
        await database.until_waiting(COMMIT)
        await database.end_waits(COMMIT, by=end)
        refusal = await refused
        stored = await database.ask("SELECT count(*) FROM orderintake.orders")
        repeat = asyncio.ensure_future(stub.PlaceOrder(order(request_id="once")))
        await database.until_waiting(BARRIER)
        is_answered = repeat.done()
        await database.restore_standby()
        receipt = await repeat
        kept = await database.ask_standby("SELECT count(*) FROM orderintake.orders")
    assert refusal.reason == "STORAGE_UNAVAILABLE"
    assert stored == "2"
    assert not is_answered
    assert receipt.replayed
    assert receipt.durability == api.DURABILITY_REPLICATED
    assert kept == "2"


@pytest.mark.seconds
async def test_p14_behind_a_crash_nobody_is_told_what_the_standby_may_lack(
    database: Pair,
) -> None:
    gate = Gate()
    async with (
        asyncio.timeout(30),
        serving(UNUSED, store=database.url, handler=gate) as stub,
    ):
        placed = await stub.PlaceOrder(order())
        order_id = placed.order.order_id
        await gate.starts(1)
        await database.lose_standby()
        gate.open()
        await database.until_waiting(COMMIT)
        await database.crash()
        ended = await database.ask("SELECT count(*) FROM orderintake.log")
        streamed = asyncio.ensure_future(completions(stub, 1, after=placed.cursor))
        listed = asyncio.ensure_future(stub.ListCompletions(api.ListCompletionsRequest()))
        got = asyncio.ensure_future(stub.GetOrder(api.GetOrderRequest(order_id=order_id)))
        await database.until_waiting(BARRIER, count=len(["committer", "news", "list", "get"]))
        are_told = streamed.done() or listed.done() or got.done()
        await database.restore_standby()
        (completion,) = await streamed
        assert (await listed).completions == [completion]
        assert (await got).completion == completion
        kept = await database.ask_standby("SELECT count(*) FROM orderintake.log")
    assert ended == kept == "1"
    assert not are_told
