"""Whether callers who leave leave anything behind: streams cancelled, and orders given up.

Memory is sampled along the way; the slope, by least squares behind a warm-up, is what each leaves.
Beside the orders given up stand as many that were waited for: the caches of a store grow with it.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import load
from servers import Server
from turns import Case, Part, Turn

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from parts.core import working

AT_ONCE = 64
SAMPLES = 50
WARM_UP = 0.4
"""This share of the cycles comes first: allocators and caches fill up."""

Cycle = Callable[[Any], Awaitable[None]]


async def subscribe_and_leave(stub: Any) -> None:  # noqa: ANN401 - a stub of grpc.aio
    """Subscribe, hear that it stands, and leave."""
    stream = stub.StreamCompletions(api.StreamCompletionsRequest(start_at=api.START_AT_LATEST))
    await stream.read()
    stream.cancel()


async def place_and_leave(stub: Any) -> None:  # noqa: ANN401 - a stub of grpc.aio
    """Place an order and leave when it is on its way."""
    call = stub.PlaceOrder(load.REQUEST)
    await call.wait_for_connection()
    call.cancel()


async def place_and_wait(stub: Any) -> None:  # noqa: ANN401 - a stub of grpc.aio
    """Place an order and take the answer."""
    await stub.PlaceOrder(load.REQUEST)


async def repeat(server: Server, cycle: Cycle, cycles: int) -> list[tuple[int, int]]:
    """Go through so many cycles; tell the server's memory after how many of them."""
    samples: list[tuple[int, int]] = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = api_grpc.OrderIntakeServiceStub(channel)
        left = iter(range(cycles))

        async def caller() -> None:
            for number in left:
                await cycle(stub)
                if number % (cycles // SAMPLES) == 0:
                    samples.append((number, server.memory()))

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return samples


def slope(samples: list[tuple[int, int]]) -> float:
    """Tell how many bytes each cycle behind the warm-up left."""
    late = sorted(samples)[int(len(samples) * WARM_UP) :]
    return statistics.linear_regression(*zip(*late, strict=True)).slope


async def subscribers(server: Server) -> int:
    """Ask how many streams are open still, once those that were left have ended."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = admin_grpc.OrderAdminServiceStub(channel)
        left = 1
        for _ in range(100):
            left = (await stub.GetQueueStats(admin.GetQueueStatsRequest())).subscribers
            if not left:
                break
            await asyncio.sleep(0.05)
        return left


def left(server: Server, cycles: int, *, cycle: Cycle) -> Turn:
    """Go through so many cycles; tell how many bytes each leaves, and how many streams are open."""
    samples = load.run(repeat(server, cycle, cycles))
    return {"bytes_each": slope(samples), "open_streams": load.run(subscribers(server))}


CYCLES: dict[str, Cycle] = {
    "subscribe and leave": subscribe_and_leave,
    "place and leave": place_and_leave,
    "place and wait": place_and_wait,
}
PART = Part(
    told="What callers who leave leave behind",
    servers={name: working(8) for name in CYCLES},
    cases={
        name: Case(on=name, drive=partial(left, cycle=cycle), orders=25_000)
        for name, cycle in CYCLES.items()
    },
    turns=1,
    warm_up=0,
)
