"""Replicas: real server processes that use one database of a real PostgreSQL together."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING

import grpc

from orderintake.v1 import order_admin_service_pb2 as admin_api
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.handlers import OrderAttempt
from orderintake_server.store.postgres.audit import audit
from support.handlers import ask_gate
from support.in_process import Stub
from support.postgres import Cluster, binaries
from support.postgres_home import running
from support.process import ServerProcess, run_to_end
from support.remote_gate import RemoteGate

if TYPE_CHECKING:
    from orderintake.v1.order_admin_service_pb2_grpc import (
        OrderAdminServiceAsyncStub as AdminStub,
    )

TEMPLATE = "replicas"
LOOK_SECONDS = 0.01
_NUMBERS = count(1)
_UNUSED = Path("/nonexistent")
"""The directory of a store that no replica has."""


async def blocks(order: OrderAttempt) -> None:
    """Block the event loop for so many seconds as the label says, once the test's gate knows."""
    await ask_gate(order)
    time.sleep(float(order.labels["seconds"]))  # noqa: ASYNC251 - which no handler should do


async def until(is_so: Callable[[], Awaitable[bool]], *, seconds: float = 10) -> float:
    """Look again and again until it is so; tell how many seconds that took.

    Raises TimeoutError when it never is.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(seconds):
        while not await is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK_SECONDS)
    return loop.time() - began


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One server process of several, with a stub for its callers and one for its operators."""

    process: ServerProcess
    stub: Stub
    admin: "AdminStub"

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.process.address

    def freeze(self) -> None:
        """Let it do nothing at all until it is thawed."""
        self.process.signal(SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.signal(SIGCONT)

    async def logs(self, event: str) -> None:
        """Wait until its log says this."""
        await asyncio.to_thread(self.process.wait_for, event)

    async def place(self, request: api.PlaceOrderRequest) -> api.PlaceOrderResponse:
        """Place an order here."""
        return await self.stub.PlaceOrder(request)

    async def get(self, order_id: str) -> api.GetOrderResponse:
        """Ask here how an order stands."""
        return await self.stub.GetOrder(api.GetOrderRequest(order_id=order_id))

    async def cancel(self, order_id: str) -> api.CancelOrderResponse:
        """Cancel an order here."""
        return await self.stub.CancelOrder(api.CancelOrderRequest(order_id=order_id))

    async def tiers(self) -> dict[order_pb2.Tier.ValueType, admin_api.TierStats]:
        """Ask here how each tier stands."""
        stats = await self.admin.GetQueueStats(admin_api.GetQueueStatsRequest())
        return {tier.tier: tier for tier in stats.tiers}

    async def completion(self, receipt: api.PlaceOrderResponse) -> order_pb2.Completion:
        """Wait here for an order's completion, wherever its receipt comes from."""
        stream = self.stub.StreamCompletions(
            api.StreamCompletionsRequest(after_cursor=receipt.cursor)
        )
        async for message in stream:
            for completion in message.completions:
                if completion.order.order_id == receipt.order.order_id:
                    stream.cancel()
                    return completion
        raise AssertionError("the stream ended")


class Replicas:
    """Those that use one database: started one after the other, so the first is the oldest."""

    def __init__(self, life: AsyncExitStack, database: str, arguments: tuple[str, ...]) -> None:
        """Start all of them with these arguments; `life` ends them."""
        self.url = _cluster().url(database)
        self._database = database
        self._arguments = arguments
        self._life = life

    async def start(self, name: str, *more: str, gate: RemoteGate | None = None) -> Replica:
        """Start a replica, whose orders are held by the gate if there is one."""
        process = self.launch(name, *more, gate=gate)
        await asyncio.to_thread(lambda: process.address)
        channel = grpc.aio.insecure_channel(process.address)
        await self._life.enter_async_context(channel)
        return Replica(
            process=process,
            stub=Stub(channel),
            admin=admin_grpc.OrderAdminServiceStub(channel),
        )

    def launch(self, name: str, *more: str, gate: RemoteGate | None = None) -> ServerProcess:
        """Start a replica without waiting for it."""
        process = ServerProcess(
            _UNUSED,
            *("--store", self.url, "--replica", name),
            *(gate.arguments if gate else ()),
            *self._arguments,
            *more,
            env=gate.env if gate else None,
        )
        self._life.callback(process.kill)
        return process

    async def ask(self, query: str) -> str:
        """Ask the database itself."""
        return await asyncio.to_thread(_cluster().run_sql, query, database=self._database)


@asynccontextmanager
async def replicas(*arguments: str) -> AsyncIterator[Replicas]:
    """Give replicas to start with these arguments, on a database of their own.

    Its rules must have been obeyed at the end; who is still alive is killed.
    """
    database = await asyncio.to_thread(_new_database)
    async with AsyncExitStack() as life:
        here = Replicas(life, database, arguments)
        yield here
        assert await audit(here.url) == []


def _new_database() -> str:
    """Give a database with a store in it that nobody has used yet."""
    name = f"{TEMPLATE}_{next(_NUMBERS)}"
    _cluster().run_sql(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}", database="postgres")
    return name


@cache
def _cluster() -> Cluster:
    """Give the cluster, with a database to make others of: it was migrated by the command."""
    cluster = running(binaries()[0])
    migrated = run_to_end("migrate", "--store", cluster.create_database(TEMPLATE))
    assert migrated.returncode == 0, migrated.stderr
    return cluster


def empty_database() -> str:
    """Make a database with no store in it; give its url."""
    return _cluster().create_database(f"empty_{next(_NUMBERS)}")
