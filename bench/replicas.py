"""Many replicas on one PostgreSQL: orders accepted and completed a second, beside Procrastinate.

All run on this one machine, each turn on an empty database; each row has as many of our servers as
processes of Procrastinate. Then the latency from a completion to a subscriber on another replica.
"""

import argparse
import asyncio
import importlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import load
import uvloop
from crew import crew
from database import Cluster, postgres, store, told
from following import Followers
from servers import Server, order_server

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc

INSTANT = ("--handler", "instant:handle", "--workers", "64")
TAKING = ("--workers", "0")
BATCH = 100
BATCHES_AT_ONCE = 4
WARM_UP = 500
RATE = 1_000

_NUMBERS = count(1)

Measure = Callable[[Cluster, int, int], float]
"""Tells how many a second it were: of so many, by so many processes, on a new database."""


def replica(address: str, *options: str) -> AbstractContextManager[Server]:
    """Run a server on a database."""
    return order_server(Path("unused"), "--store", address, *options)


@contextmanager
def replicas(running: Cluster, processes: int, *options: str) -> Iterator[list[Server]]:
    """Run so many servers on a new database."""
    address = store(running, f"ours_{next(_NUMBERS)}")
    with ExitStack() as stack:
        yield [stack.enter_context(replica(address, *options)) for _ in range(processes)]


def accepted(running: Cluster, orders: int, processes: int) -> float:
    """Place orders one by one, 64 in flight at each replica."""
    each = orders // processes
    with (
        replicas(running, processes, *TAKING) as servers,
        ThreadPoolExecutor(processes) as threads,
    ):
        ports = [server.port for server in servers]
        list(threads.map(load.calls_per_second, ports, [WARM_UP] * processes))
        began = time.perf_counter()
        list(threads.map(load.calls_per_second, ports, [each] * processes))
        return each * processes / (time.perf_counter() - began)


def completed(running: Cluster, orders: int, processes: int) -> float:
    """Place orders in batches while they are processed, and somebody listens at one replica."""
    with replicas(running, processes, *INSTANT) as servers:
        return uvloop.run(_completed([server.port for server in servers], orders))


async def _completed(ports: Sequence[int], orders: int) -> float:
    request = api.BatchPlaceOrdersRequest(requests=[load.REQUEST] * BATCH)
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}") for port in ports]
    stubs: list[Any] = [api_grpc.OrderIntakeServiceStub(channel) for channel in channels]
    follower = Followers(ports[-1], 1, api.StreamCompletionsRequest().SerializeToString())
    await follower.started()
    left, began = iter(range(orders // BATCH)), time.perf_counter()

    async def placer(stub: Any) -> None:  # noqa: ANN401 - a stub of grpc.aio
        for _ in left:
            await stub.BatchPlaceOrders(request)

    placers = [placer(stubs[number % len(stubs)]) for number in range(BATCHES_AT_ONCE)]
    await asyncio.gather(follower.get(orders), *placers)
    seconds = time.perf_counter() - began
    await follower.close()
    for channel in channels:
        await channel.close()
    return orders / seconds


class Peer:
    """Procrastinate, measured the same way."""

    def __init__(self, peer: ModuleType) -> None:
        """Measure by this module of ours."""
        self._peer = peer

    def told(self) -> str:
        """Say what it is."""
        return str(self._peer.told())

    def _database(self, running: Cluster) -> str:
        address = running.create_database(f"peer_{next(_NUMBERS)}")
        uvloop.run(self._peer.prepare(address))
        return address

    def accepted(self, running: Cluster, jobs: int, processes: int) -> float:
        """Defer jobs one by one, 64 in flight in each process."""
        each = jobs // processes
        with crew("peer.py", "defer", self._database(running), count=processes) as deferring:
            deferring.run(str(WARM_UP))
            return each * processes / max(map(float, deferring.run(str(each))))

    def completed(self, running: Cluster, jobs: int, processes: int) -> float:
        """Place jobs in batches while they are processed."""
        address = self._database(running)
        with crew("peer.py", "work", address, count=processes):
            return float(jobs / uvloop.run(self._peer.complete(address, jobs)))


def beside() -> Peer | None:
    """Give what to measure beside us, if it is there."""
    try:
        return Peer(importlib.import_module("peer"))
    except ImportError as error:
        print(f"Procrastinate is left out: {error}")
        return None


def compared(running: Cluster, arguments: argparse.Namespace) -> None:
    """Measure all in turns, and print the medians."""
    peer = beside()
    measures: dict[str, Measure] = {"accepted": accepted, "completed": completed}
    if peer:
        measures |= {"peer accepted": peer.accepted, "peer completed": peer.completed}
        print(f"beside {peer.told()}")
    print(f"medians of {arguments.turns} turns of {arguments.orders:,} orders\n")
    print("| processes | accepted a second | Procrastinate | ratio", end=" ")
    print("| completed a second | Procrastinate | ratio |\n|" + " --- |" * 7)
    for processes in arguments.replicas:
        found: dict[str, list[float]] = {name: [] for name in measures}
        for _ in range(arguments.turns):
            for name, measure in measures.items():
                found[name].append(measure(running, arguments.orders, processes))
        rates = {name: statistics.median(each) for name, each in found.items()}
        print(f"| {processes} | {_row(rates, 'accepted')} | {_row(rates, 'completed')} |")


def _row(rates: dict[str, float], name: str) -> str:
    ours, peers = rates[name], rates.get(f"peer {name}")
    return f"{ours:,.0f} | " + (f"{peers:,.0f} | {ours / peers:.1f}" if peers else "- | -")


async def late(placed_at: int, heard_at: int, seconds: int) -> list[float]:
    """Place orders at a steady rate; tell how late each completion was with its subscriber."""
    found: list[float] = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{heard_at}") as channel:
        stub: Any = api_grpc.OrderIntakeServiceStub(channel)
        stream = stub.StreamCompletions(api.StreamCompletionsRequest(start_at=api.START_AT_LATEST))
        await stream.read()
        placing = load.paced(placed_at, seconds=seconds, per_second=RATE)
        while len(found) < seconds * RATE:
            message = await stream.read()
            now = time.time()
            for completion in message.completions:
                ended = completion.order.complete_time
                found.append(now - ended.seconds - ended.nanos / 1e9)
        placing.wait()
        stream.cancel()
    return found


def latencies(running: Cluster, seconds: int) -> None:
    """Measure the way to subscribers, and print it."""
    print(
        f"\n{RATE:,} orders a second, from the start of a completion's commit to its subscriber\n"
    )
    print("| subscriber | p50 | p99 |\n| --- | --- | --- |")
    for name, is_same, option in (
        ("at the replica that processes", True, "--notify=true"),
        ("at another one", False, "--notify=true"),
        ("at another one, without NOTIFY", False, "--notify=false"),
    ):
        address = store(running, f"ours_{next(_NUMBERS)}")
        with replica(address, *INSTANT, option) as one, replica(address, *TAKING, option) as other:
            uvloop.run(late(one.port, other.port, 1))  # to warm up
            found = uvloop.run(late(one.port, (one if is_same else other).port, seconds))
        parts = statistics.quantiles(found, n=100)
        print(f"| {name} | {parts[49] * 1e3:.1f} ms | {parts[98] * 1e3:.1f} ms |")


def main() -> None:
    """Start PostgreSQL, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000, help="in each turn")
    parser.add_argument("--turns", type=int, default=3, help="of each")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=int, default=10, help="how long latency is measured")
    arguments = parser.parse_args()
    with postgres() as running:
        print(told(running.url()), end="; ")
        compared(running, arguments)
        latencies(running, arguments.seconds)


if __name__ == "__main__":
    main()
