"""P11, P12: the clock of the database leaps while replicas work with it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.in_process import Stub, completions
from support.orders import order
from support.postgres import DATABASE, Cluster, cluster
from support.process import run_to_end, serving_process
from support.program import place
from support.replicas import until
from support.set_clock import LIBRARIES, MISSING, SetClock

HOUR = 3600
SLACK = 60
"""Seconds that may pass between two looks of this test: no leap is as short."""

pytestmark = [
    pytest.mark.slow,  # its waits are of real time: other cases beside it can fail it
    pytest.mark.timeout(180),
    pytest.mark.skipif(not LIBRARIES, reason=MISSING),
]


@contextmanager
def _leaping_cluster() -> Iterator[tuple[Cluster, SetClock]]:
    """Run a PostgreSQL whose clock can be set."""
    with place() as directory:
        clock = SetClock(directory / "time")
        with cluster() as made:
            made.prefix = ("env", *(f"{name}={text}" for name, text in clock.environment.items()))
            made.restart()
            migrated = run_to_end("migrate", "--store", made.url())
            assert migrated.returncode == 0, migrated.stderr
            yield made, clock


@asynccontextmanager
async def _two_replicas(made: Cluster) -> AsyncIterator[tuple[Stub, Stub]]:
    async with AsyncExitStack() as life:
        stubs = []
        for name in ("a", "b"):
            flags = ("--store", made.url(), "--replica", name, "--handler", _HANDLER)
            _, stub = await life.enter_async_context(serving_process(Path(os.devnull), *flags))
            stubs.append(stub)
        yield stubs[0], stubs[1]


_HANDLER = "support.handlers:again_in_an_hour"


@pytest.mark.parametrize("leap", [2 * HOUR, -2 * HOUR])
async def test_p11_the_delay_of_a_retry_is_a_length_though_the_databases_clock_leaps(
    leap: int,
) -> None:
    async with asyncio.timeout(120):
        with _leaping_cluster() as (made, clock):
            async with _two_replicas(made) as (a, b):
                receipt = await a.PlaceOrder(order("again"))
                await until(partial(_is_scheduled, b, receipt.order.order_id), seconds=60)
                # A replica knows the clock once it has looked at it, which is soon; orders tell.
                for stub in (a, b):
                    await stub.PlaceOrder(order())
                await completions(a, 2)
                for now in (leap, 0, leap):
                    clock.set(now)
                    await until(partial(_is_an_hour_away, made), seconds=60)
                mark = await a.PlaceOrder(_due_in(leap + 1))
                ended = await completions(b, 3)
                found = await b.GetOrder(api.GetOrderRequest(order_id=receipt.order.order_id))
    assert ended[2].order.order_id == mark.order.order_id
    assert found.order.state == order_pb2.STATE_SCHEDULED
    assert found.order.attempt_count == 1


async def _is_scheduled(stub: Stub, order_id: str) -> bool:
    found = await stub.GetOrder(api.GetOrderRequest(order_id=order_id))
    return found.order.state == order_pb2.STATE_SCHEDULED


async def _is_an_hour_away(made: Cluster) -> bool:
    """Tell whether the delay that is left is about an hour by the database's own clock."""
    left = await asyncio.to_thread(made.run_sql, _LEFT, database=DATABASE)
    return abs(float(left) - HOUR) < SLACK


_LEFT = """
SELECT due_time / 1e6 - extract(epoch FROM clock_timestamp()) FROM orderintake.scheduled
WHERE attempt_count > 0
"""


def _due_in(seconds: int) -> api.PlaceOrderRequest:
    """Make an order for so many seconds later by the real clock."""
    request, stamp = order(), Timestamp()
    stamp.FromNanoseconds(time.time_ns() + round(seconds * 1e9))
    request.not_before.CopyFrom(stamp)
    return request
