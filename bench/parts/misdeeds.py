"""What handlers that do the worst take from a polite caller, where the server supervises them.

The same server, the same caller: now nothing else happens, now handlers fork, block, flood the log,
forget descriptors and threads, raise whatever can be raised.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

sys.path.append(
    str(Path(__file__).parents[2] / "tests")
)  # who does the worst there does so here too
from support.handler_fuzz import batch
from support.orders import order

TESTS = sys.path[-1]
HANDLER = "support.misdeeds:quick"
CHILDREN, SLOTS = 2, 8
SECONDS, PAUSE_SECONDS = 15.0, 0.02
MISDEEDS, EACH_SECONDS = 5, 0.5
"""So many bad orders come each so often."""


class Misdoing(Crewed):
    """Our server, with handlers that do as an order's label says."""

    @contextmanager
    def start(self, folder: Path, tree: Path | None) -> Iterator[Manned]:
        """Run it; its handlers are found beside the tests."""
        found_there = os.pathsep.join(filter(None, (TESTS, os.environ.get("PYTHONPATH"))))
        with mock.patch.dict(os.environ, PYTHONPATH=found_there), super().start(folder, tree) as it:
            yield it


async def _misdeeds(manned: Manned, chance: Random) -> None:
    """Place orders without end whose handlers do the worst."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{manned.server.port}") as channel:
        stub = api_grpc.OrderIntakeServiceStub(channel)
        while True:
            drawn = batch(chance, count=MISDEEDS)
            await stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=drawn), timeout=30)
            await asyncio.sleep(EACH_SECONDS)


async def _waits(manned: Manned, *, beside: bool) -> Turn:
    polite = Polite(
        manned.server, order("polite", labels={"way": "good", "seed": "0"}), PAUSE_SECONDS
    )
    tasks = [asyncio.create_task(polite.place_on())]
    if beside:
        tasks.append(asyncio.create_task(_misdeeds(manned, Random(1))))
    await asyncio.sleep(SECONDS)
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    p50, p99 = load.middle_and_far([each * 1e3 for each in polite.waited])
    return {"p50_ms": p50, "p99_ms": p99, "failures": polite.failures}


def alone(manned: Manned, _: int) -> Turn:
    """Tell how long a polite caller waits when nothing else happens."""
    return load.run(_waits(manned, beside=False))


def beside(manned: Manned, _: int) -> Turn:
    """Tell it while handlers do the worst."""
    return load.run(_waits(manned, beside=True))


SERVER = Misdoing(HANDLER, SLOTS, children=CHILDREN)
PART = Part(
    told="A polite caller's wait while supervised handlers do the worst",
    servers={"supervised": SERVER},
    cases={
        "alone": Case(on="supervised", drive=alone, orders=1, fixed=True),
        "beside": Case(on="supervised", drive=beside, orders=1, fixed=True),
    },
    turns=5,
    warm_up=0,
)
