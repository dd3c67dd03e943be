"""Orders on PlaceOrders calls, beside unary calls and a bare echo: the server's CPU for each order.

All servers run side by side and take turns under load. What is told is processor time of the
server's process, user and system, for each order: it depends less on what else runs than a rate.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import load
import uvloop
from servers import Server, bare_server, order_server

from orderintake.v1 import order_intake_service_pb2 as api

ACCEPTED, PROCESSED = "accepted", "whole life"
SERVERS = {
    ACCEPTED: ("--workers", "0"),
    PROCESSED: ("--workers", "64", "--handler", "instant:handle"),
}


class Shape(NamedTuple):
    """How orders come: so many a message, on so many calls, each with so many without a result."""

    orders: int
    calls: int
    window: int

    def __str__(self) -> str:
        """Name it as the report does."""
        return f"{self.orders} a message, {self.calls} x {self.window}"


SHAPES = (Shape(1, 1, 64), Shape(1, 8, 8), Shape(10, 1, 320), Shape(10, 8, 80), Shape(100, 8, 400))


async def place(channel: grpc.aio.Channel, shape: Shape, orders: int) -> None:
    """Place so many orders on one call."""
    message = api.PlaceOrdersRequest(orders=[load.REQUEST] * shape.orders).SerializeToString()
    room = asyncio.Semaphore(shape.window // shape.orders)

    async def messages() -> AsyncIterator[bytes]:
        for _ in range(orders // shape.orders):
            await room.acquire()
            yield message

    method: Any = channel.stream_stream("/orderintake.v1.OrderIntakeService/PlaceOrders")
    answered = 0
    async for response in method(messages()):
        results = api.PlaceOrdersResponse.FromString(response).results
        assert all(result.HasField("receipt") for result in results)
        before, answered = answered // shape.orders, answered + len(results)
        for _ in range(answered // shape.orders - before):
            room.release()
    assert answered == orders


async def drive(port: int, shape: Shape, orders: int) -> None:
    """Place so many orders on all calls together."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        share = orders // shape.calls
        await asyncio.gather(*(place(channel, shape, share) for _ in range(shape.calls)))


def by_stream(shape: Shape, server: Server, orders: int) -> None:
    """Drive by a process of its own."""
    words = [sys.executable, __file__, "--drive", str(server.port), *map(str, (*shape, orders))]
    subprocess.run(words, check=True)


def unary(server: Server, orders: int) -> None:
    """Drive by unary calls, 64 at a time."""
    load.calls_per_second(server.port, orders)


def settled(server: Server) -> float:
    """Wait until the server is idle; tell its processor time so far."""
    before = server.cpu_seconds()
    while True:
        time.sleep(0.25)
        now = server.cpu_seconds()
        if now - before < 0.02:  # noqa: PLR2004 - two ticks of its clock
            return now
        before = now


def measured(server: Server, orders: int, turn: Callable[[Server, int], None]) -> float:
    """Tell the microseconds of processor time that an order takes of its server, to its end."""
    before = settled(server)
    turn(server, orders)
    return (settled(server) - before) / orders * 1e6


def main() -> None:
    """Measure in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=16_000, help="orders in each turn")
    parser.add_argument("--turns", type=int, default=5, help="turns of each kind")
    arguments = parser.parse_args()
    kinds: dict[str, Callable[[Server, int], None]] = {"unary": unary}
    kinds |= {str(shape): partial(by_stream, shape) for shape in SHAPES}
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd()))
        echo = stack.enter_context(bare_server("echo_server.py"))
        servers = {
            name: stack.enter_context(order_server(f"{folder}/{name}", *options))
            for name, options in SERVERS.items()
        }
        for _ in range(arguments.turns):
            cost = measured(echo, arguments.orders, unary)
            found.setdefault(("bare echo", ""), []).append(cost)
            for kind, turn in kinds.items():
                for name, server in servers.items():
                    cost = measured(server, arguments.orders, turn)
                    found.setdefault((kind, name), []).append(cost)
    report(found)


def report(found: dict[tuple[str, str], list[float]]) -> None:
    """Print the medians, and their ratios to the echo's, turn by turn."""
    echoes = found[("bare echo", "")]
    print(f"us of the server's CPU for each order; unary calls by {load.driver()}; medians")
    for (kind, name), costs in found.items():
        ratio = statistics.median(cost / echo for cost, echo in zip(costs, echoes, strict=True))
        print(
            f"  {kind:24}{name:12}{statistics.median(costs):7.1f} us  {ratio:5.2f} of the echo"
            f"   ({min(costs):.0f} to {max(costs):.0f})"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        port, per_message, calls, window, total = map(int, sys.argv[2:])
        uvloop.run(drive(port, Shape(per_message, calls, window), total))
    else:
        main()
