"""What handlers that do the worst take from a polite caller, where the server supervises them.

The same server, the same caller: now nothing else happens, now others place good orders, now as
many whose handlers fork, block, flood the log, forget threads, or raise whatever can be. Each
order has one attempt, so that good and bad ones mean as many commits.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from unittest import mock

import grpc
import load
from crews import Crewed, Manned
from polite import Polite
from turns import Case, Part, Turn

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from support import handler_fuzz
from support.orders import order

TESTS = str(Path(handler_fuzz.__file__).parents[1])
HANDLER = "support.misdeeds:quick"
CHILDREN, SLOTS = 2, 8
SECONDS, PAUSE_SECONDS = 15.0, 0.02
AT_ONCE, EACH_SECONDS = 5, 0.5
"""So many orders of others come each so often."""
GOOD = order("good", labels={"way": "good", "seed": "0"})
Orders = list[api.PlaceOrderRequest]


class Misdoing(Crewed):
    """Our server, with handlers that do as an order's label says."""

    @contextmanager
    def start(self, folder: Path, tree: Path | None) -> Iterator[Manned]:
        """Run it; its handlers are found beside the tests."""
        found_there = os.pathsep.join(filter(None, (TESTS, os.environ.get("PYTHONPATH"))))
        with mock.patch.dict(os.environ, PYTHONPATH=found_there), super().start(folder, tree) as it:
            yield it


async def _others(manned: Manned, orders: Callable[[], Orders]) -> None:
    """Place orders without end."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{manned.server.port}") as channel:
        stub = api_grpc.OrderIntakeServiceStub(channel)
        while True:
            placed = api.BatchPlaceOrdersRequest(requests=orders())
            await stub.BatchPlaceOrders(placed, timeout=30)
            await asyncio.sleep(EACH_SECONDS)


async def _waits(manned: Manned, orders: Callable[[], Orders] | None) -> Turn:
    polite = Polite(manned.server, GOOD, PAUSE_SECONDS)
    tasks = [asyncio.create_task(polite.place_on())]
    if orders:
        tasks.append(asyncio.create_task(_others(manned, orders)))
    await asyncio.sleep(SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    p50, p99 = load.middle_and_far([each * 1e3 for each in polite.waited])
    return {"p50_ms": p50, "p99_ms": p99, "failures": polite.failures}


def waits(manned: Manned, _: int, *, orders: Callable[[], Orders] | None) -> Turn:
    """Tell how long a polite caller waits while others place such orders."""
    return load.run(_waits(manned, orders))


CASES: dict[str, Callable[[], Orders] | None] = {
    "alone": None,
    "good": partial(list, [GOOD] * AT_ONCE),
    "bad": partial(handler_fuzz.batch, Random(1), count=AT_ONCE),
}
"""Which orders others place meanwhile."""
ONCE = ("--max-attempts", "1")
SERVER = Misdoing(HANDLER, SLOTS, children=CHILDREN, options=ONCE)
IDLE = replace(SERVER, options=(*ONCE, "--worker-scheduling", "idle"))


def _case(server: str, orders: Callable[[], Orders] | None) -> Case:
    return Case(on=server, drive=partial(waits, orders=orders), orders=1, fixed=True)


PART = Part(
    told="A polite caller's wait while supervised handlers do the worst",
    servers={"supervised": SERVER, "idle": IDLE},
    cases={
        **{name: _case("supervised", orders) for name, orders in CASES.items()},
        "bad, idle": _case("idle", CASES["bad"]),
    },
    turns=5,
    warm_up=0,
)
