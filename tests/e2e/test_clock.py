"""P12: a real server whose clock is set while it runs, by Debian's libfaketime."""

import time
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.in_process import completions
from support.orders import order
from support.process import serving_process
from support.set_clock import LIBRARIES, MISSING, SetClock

HOUR = 3600

pytestmark = [
    pytest.mark.seconds,
    pytest.mark.skipif(not LIBRARIES, reason=MISSING),
]


@pytest.fixture
def clock(tmp_path: Path) -> SetClock:
    """A clock that tells the real time until it is set."""
    return SetClock(tmp_path / "time")


def timed(**seconds: float) -> api.PlaceOrderRequest:
    """Make an order for times that many seconds from now."""
    request = order()
    for name, length in seconds.items():
        getattr(request, name).CopyFrom(at(length))
    return request


def at(seconds: float) -> Timestamp:
    """Tell the time that it will be in so many seconds, by the real clock."""
    stamp = Timestamp()
    stamp.FromNanoseconds(time.time_ns() + round(seconds * 1e9))
    return stamp


async def test_an_idle_server_notices_a_leap_within_two_seconds(
    tmp_path: Path, clock: SetClock
) -> None:
    async with serving_process(tmp_path / "data", env=clock.environment) as (process, stub):
        placed = await stub.PlaceOrder(timed(not_before=HOUR))
        assert placed.order.state == order_pb2.STATE_SCHEDULED
        clock.set(2 * HOUR)
        began = time.monotonic()
        (completion,) = await completions(stub, 1)
        assert time.monotonic() - began < 2
        leap = process.wait_for("the clock leapt; what is due is judged anew")
        assert abs(float(str(leap["seconds"])) - 2 * HOUR) < 1
    assert completion.order.state == order_pb2.STATE_SUCCEEDED


async def test_a_glitch_of_two_seconds_does_not_stay_and_erases_nothing(
    tmp_path: Path, clock: SetClock
) -> None:
    year = 365 * 24 * HOUR
    retention = ("--retention", str(30 * 24 * HOUR))
    async with serving_process(tmp_path / "data", *retention, env=clock.environment) as (
        process,
        stub,
    ):
        for _ in range(20):
            await stub.PlaceOrder(order())
        await completions(stub, 20)
        clock.set(year)
        process.wait_for("the clock leapt; what is due is judged anew")
        await stub.PlaceOrder(order())
        await completions(stub, 21)
        clock.set(0)
        process.wait_for("the clock leapt; what is due is judged anew")
        later = await stub.PlaceOrder(timed(not_before=HOUR))
        assert later.order.state == order_pb2.STATE_SCHEDULED
        mortal = await stub.PlaceOrder(timed(not_before=HOUR / 2, expire_time=HOUR))
        assert mortal.order.state == order_pb2.STATE_SCHEDULED
        page = await stub.ListCompletions(api.ListCompletionsRequest(page_size=1000))
        assert len(page.completions) == 21
        due = await stub.PlaceOrder(timed(not_before=1))
        assert due.order.state == order_pb2.STATE_SCHEDULED
        (last,) = await completions(stub, 1, after=page.cursor)
    assert last.order.order_id == due.order.order_id
