"""Servers on one PostgreSQL: orders accepted and completed a second, and what that costs.

All run on this one machine. Each number of servers has a database server of its own, that flushes
each commit to the disk; its processor time is told apart. Then the way to a subscriber elsewhere.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import load
import psutil
from database import Cluster, postgres
from following import Followers
from servers import Server, environment, order_server
from turns import Case, Part, Turn

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from parts.streams import heard, late

INSTANT = ("--handler", "instant:handle", "--workers", "64")
TAKING = ("--workers", "0")
BATCH, BATCHES_AT_ONCE = 100, 4


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Servers on one database."""

    servers: list[Server]
    cluster: Cluster

    def database_seconds(self) -> float:
        """Tell how long all processes of the database server have run."""
        first = psutil.Process(self.cluster.server.pid)
        return sum(map(_seconds, [first, *first.children(recursive=True)]))


def _seconds(process: psutil.Process) -> float:
    try:
        return float(sum(process.cpu_times()[:4]))  # its own, and of its children that ended
    except psutil.NoSuchProcess:
        return 0.0


@dataclass(frozen=True)
class Replicas:
    """A database server, and a server of ours for each tuple of options."""

    options: tuple[tuple[str, ...], ...]
    is_ours = True

    @contextmanager
    def start(self, folder: Path, tree: Path | None) -> Iterator[Shared]:
        """Run them."""
        with postgres() as cluster, ExitStack() as stack:
            address = cluster.create_database("orders")
            migrate = (sys.executable, "-m", "orderintake_server.main", "migrate")
            subprocess.run(
                [*migrate, "--store", address],
                env=environment(tree),
                check=True,
                capture_output=True,
            )
            servers = [
                stack.enter_context(order_server(folder, "--store", address, *each, tree=tree))
                for each in self.options
            ]
            yield Shared(servers=servers, cluster=cluster)


def timed(shared: Shared, orders: int, drive: Callable[[], Turn | None]) -> Turn:
    """Drive once; tell the rate, and the processor time of servers and database for each order."""
    worked = [server.cpu_seconds() for server in shared.servers]
    database, began = shared.database_seconds(), time.perf_counter()
    more = drive() or {}
    seconds = time.perf_counter() - began
    pairs = zip(shared.servers, worked, strict=True)
    return {
        "per_second": orders / seconds,
        "cpu_us": sum(server.cpu_seconds() - before for server, before in pairs) / orders * 1e6,
        "database_us": (shared.database_seconds() - database) / orders * 1e6,
    } | more


def accepts(shared: Shared, orders: int) -> Turn:
    """Place orders, each a call, 64 in flight at each server."""
    ports = [server.port for server in shared.servers]

    def drive() -> None:
        with ThreadPoolExecutor(len(ports)) as threads:
            list(threads.map(load.place, ports, [orders // len(ports)] * len(ports)))

    return timed(shared, orders, drive)


def lives(shared: Shared, orders: int) -> Turn:
    """Place orders in batches while they are processed, and somebody listens at the last server."""
    ports = [server.port for server in shared.servers]
    return timed(shared, orders, lambda: load.run(_lives(ports, orders)))


async def _lives(ports: list[int], orders: int) -> None:
    request = api.BatchPlaceOrdersRequest(requests=[load.REQUEST] * BATCH)
    latest = api.StreamCompletionsRequest(start_at=api.START_AT_LATEST)
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}") for port in ports]
    stubs: list[Any] = [api_grpc.OrderIntakeServiceStub(channel) for channel in channels]
    follower = Followers(ports[-1], 1, latest.SerializeToString())
    await follower.started()
    left = iter(range(orders // BATCH))

    async def placer(stub: Any) -> None:  # noqa: ANN401 - a stub of grpc.aio
        for _ in left:
            await stub.BatchPlaceOrders(request)

    placers = [placer(stubs[number % len(stubs)]) for number in range(BATCHES_AT_ONCE)]
    await asyncio.gather(follower.get(orders), *placers)
    await follower.close()
    for channel in channels:
        await channel.close()


def live(shared: Shared, orders: int, *, heard_at: int) -> Turn:
    """Place orders at the first server at a steady rate; hear of their completions at one."""
    placed_at, told_at = shared.servers[0].port, shared.servers[heard_at].port
    return timed(shared, orders, lambda: late(heard(placed_at, told_at, orders)))


def reaching(heard_at: int) -> Case:
    """Hear of completions at this server."""
    drive = partial(live, heard_at=heard_at)
    return Case(on="1 works, 1 tells", drive=drive, orders=3_000, unit=1_000)


PART = Part(
    told="Servers on one PostgreSQL that flushes each commit",
    servers={
        "1 server": Replicas((INSTANT,)),
        "2 servers": Replicas((INSTANT, INSTANT)),
        "1 takes": Replicas((TAKING,)),
        "2 take": Replicas((TAKING, TAKING)),
        "1 works, 1 tells": Replicas((INSTANT, TAKING)),
    },
    cases={
        "accept, 1 server": Case(on="1 takes", drive=accepts, orders=6_000),
        "accept, 2 servers": Case(on="2 take", drive=accepts, orders=6_000),
        "lives, 1 server": Case(on="1 server", drive=lives, orders=8_000, unit=400),
        "lives, 2 servers": Case(on="2 servers", drive=lives, orders=8_000, unit=400),
        "live, where it is processed": reaching(0),
        "live, at another server": reaching(1),
    },
)
