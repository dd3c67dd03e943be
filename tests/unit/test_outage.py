"""Whatever fails for a while is told at once, then once a minute, then its end."""

import pytest

from orderintake_server import telemetry
from orderintake_server.api.refusals import Refusals
from orderintake_server.dispatch.failures.reach import Reach
from orderintake_server.errors import StoreAway, StoreFull, StoreObstacle, StoreRefused
from orderintake_server.ids import Ids
from orderintake_server.store.postgres.heartbeat import Outage
from orderintake_server.telemetry.outage import TELL_SECONDS
from support.clocks import Microseconds, Seconds
from support.logs import capture_logs


def test_an_outage_is_told_at_once_then_once_a_minute_then_its_end() -> None:
    clock = Seconds()
    outage = Outage("heartbeat", clock)
    with capture_logs() as logs:
        outage.is_over()
        for _ in range(150):
            outage.goes_on(StoreAway("PostgreSQL cannot be reached"))
            clock.turn(1)
        outage.is_over()
        outage.is_over()
    assert [(line["event"], line["seconds"]) for line in logs] == [
        ("the database is away", 0.0),
        ("the database is away", TELL_SECONDS),
        ("the database is away", 2 * TELL_SECONDS),
        ("the database is there again", 150.0),
    ]


def test_failures_between_two_entries_are_counted() -> None:
    clock = Seconds()
    outage = Outage("heartbeat", clock)
    with capture_logs() as logs:
        for _ in range(5):
            outage.goes_on(StoreAway("gone"))
            clock.turn(TELL_SECONDS / 4)
    assert [line.get("untold") for line in logs] == [None, 3]


def test_where_nobody_notices_the_end_a_minute_without_failures_is_one() -> None:
    clock = Seconds()
    outage = telemetry.Outage("the store cannot be read", clock=clock)
    with capture_logs() as logs:
        for pause in (30, 30, 59, 60, 1):
            outage.goes_on(StoreAway("gone"), method="GetOrder")
            clock.turn(pause)
    assert [(line["seconds"], line["method"]) for line in logs] == [
        (0.0, "GetOrder"),
        (60.0, "GetOrder"),
        (0.0, "GetOrder"),
    ]


LOST = "the store cannot be written; orders are refused"
FOUND = "the store can be written again; orders are accepted"


@pytest.mark.parametrize("obstacle", [StoreFull("the disk is full"), StoreAway("gone")])
def test_what_keeps_the_store_from_being_written_is_told_so(obstacle: StoreObstacle) -> None:
    clock = Microseconds()
    reach = Reach(0.5, clock.steady)
    reached: list[bool] = []
    with capture_logs() as logs:
        for _ in range(2 * 130):
            reach.lose(obstacle, reached.append)
            clock.turn(0.5)
        reach.regain(reached.append)
        reach.regain(reached.append)
    assert [(line["event"], line["log_level"], round(line["seconds"])) for line in logs] == [
        (LOST, "error", 0),
        (LOST, "error", 60),
        (LOST, "error", 120),
        (FOUND, "info", 130),
    ]
    assert reached == [isinstance(obstacle, StoreFull), True]


def test_a_store_that_refuses_everything_is_told_so() -> None:
    clock = Microseconds()
    reach = Reach(0.5, clock.steady)
    with capture_logs() as logs:
        for _ in range(70 * 4):
            reach.refuse(StoreRefused("a rule of an operator"))
            clock.turn(0.25)
        reach.regain(lambda _: None)
    assert [line["event"] for line in logs] == [
        *["the store refuses a commit without requests"] * 2,
        "the store takes commits again",
    ]


def test_calls_that_cannot_read_the_store_do_not_fill_the_log() -> None:
    refusals = Refusals(Ids("0123abcd"))
    with capture_logs() as logs:
        for _ in range(100):
            assert refusals.reply(StoreAway("gone"), method="GetOrder").status.code
    assert [(line["event"], line["method"]) for line in logs] == [
        ("the store cannot be read", "GetOrder")
    ]
