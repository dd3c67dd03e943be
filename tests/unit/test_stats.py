"""How orders stats through each tier, by a clock that the test turns; and what is old enough."""

from dataclasses import replace

import pytest

from orderintake_server.clock import Clock
from orderintake_server.dispatch.rate import Rate
from orderintake_server.dispatch.retention import (
    LEAP_SECONDS,
    LOOK_SECONDS,
    STEP_ORDERS,
    STEP_SECONDS,
    Retention,
)
from orderintake_server.dispatch.stats import QueueStats
from orderintake_server.domain import Tier
from orderintake_server.store.base import RecoveryReport
from orderintake_server.store.changes import Committed, Prune
from orderintake_server.views import TierCounts
from support.clocks import Seconds
from support.logs import capture_logs

NONE = dict.fromkeys(Tier, 0)
EMPTY = {tier: TierCounts() for tier in Tier}
FOUND = RecoveryReport(
    log_id="0123abcd", counts=EMPTY, recovered=0, quarantined=0, head=0, earliest=0
)
NOTHING = Committed(counts=EMPTY, accept_counts=NONE, completion_counts=NONE, head=0, earliest=0)


# Rates


@pytest.mark.parametrize("seconds", [1, 10, 60, 600])
def test_a_steady_rate_is_told_from_the_first_second_on(seconds: int) -> None:
    clock = Seconds()
    rate = Rate(clock, memory_seconds=60)
    for _ in range(seconds * 10):
        clock.turn(0.1)
        rate.add(5)
    assert rate.per_second() == pytest.approx(50, rel=0.06)


def test_what_is_as_old_as_the_memory_counts_a_third_or_so() -> None:
    clock = Seconds()
    rate = Rate(clock, memory_seconds=60)
    for _ in range(10_000):
        clock.turn(0.1)
        rate.add(1)
    clock.turn(60)
    assert rate.per_second() == pytest.approx(10 / 2.718, rel=0.02)


def test_before_any_time_has_passed_there_is_no_rate() -> None:
    rate = Rate(Seconds(), memory_seconds=60)
    rate.add(1000)
    assert rate.per_second() == 0.0


# Flow


def test_at_first_the_flow_is_what_the_store_held() -> None:
    counts = {Tier.VIP: TierCounts(queued=1), Tier.REGULAR: TierCounts(scheduled=2)}
    found = replace(FOUND, counts=counts, paused=frozenset({Tier.VIP}))
    stats = QueueStats(found, Seconds())
    assert stats.of(Tier.VIP).is_paused
    assert not stats.of(Tier.REGULAR).is_paused
    assert stats.of(Tier.VIP).counts == TierCounts(queued=1)
    assert stats.of(Tier.VIP).is_paused
    assert stats.of(Tier.REGULAR).counts == TierCounts(scheduled=2)
    assert stats.of(Tier.REGULAR).accept_rate == stats.of(Tier.REGULAR).completion_rate == 0.0


def test_each_commit_is_counted_for_its_tier() -> None:
    clock = Seconds()
    stats = QueueStats(FOUND, clock)
    commit = replace(
        NOTHING,
        accept_counts={Tier.VIP: 2, Tier.REGULAR: 0},
        completion_counts={Tier.VIP: 0, Tier.REGULAR: 3},
    )
    for _ in range(100):
        clock.turn(1)
        stats.apply(commit)
    vip, regular = stats.of(Tier.VIP), stats.of(Tier.REGULAR)
    assert vip.accept_rate == pytest.approx(2, rel=0.1)
    assert regular.completion_rate == pytest.approx(3, rel=0.1)
    assert vip.completion_rate == regular.accept_rate == 0


def test_the_latest_commit_tells_what_stands_where_and_what_is_paused() -> None:
    stats = QueueStats(FOUND, Seconds())
    counts = {**EMPTY, Tier.VIP: TierCounts(processing=9)}
    stats.apply(replace(NOTHING, counts=counts, paused=frozenset({Tier.REGULAR})))
    assert stats.of(Tier.VIP).counts == TierCounts(processing=9)
    assert stats.of(Tier.REGULAR).is_paused
    stats.apply(NOTHING)
    assert stats.of(Tier.VIP).counts == TierCounts()
    assert not stats.of(Tier.REGULAR).is_paused


# Retention

BEGIN = 1_790_000_000_000_000


class Turned(Clock):
    """A clock in microseconds that stands until it is turned."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.leapt = 0

    def __call__(self) -> int:
        return self.now

    def steady(self) -> int:
        return self.now - self.leapt

    def turn(self, seconds: float) -> None:
        self.now += round(seconds * 1e6)

    def leap(self, seconds: float) -> None:
        self.turn(seconds)
        self.leapt += round(seconds * 1e6)


def test_what_is_kept_for_ever_is_never_due() -> None:
    retention = Retention(seconds=None, request_seconds=10.0, clock=Turned())
    assert retention.due() is None
    assert retention.next_time is None
    retention.note(None, 0, 0)
    assert retention.next_time is None


@pytest.mark.parametrize("request_seconds", [None, 60.0, 3600.0])
def test_what_ended_before_its_time_is_due_from_the_start(request_seconds: float | None) -> None:
    clock = Turned()
    retention = Retention(seconds=60.0, request_seconds=request_seconds, clock=clock)
    requests = None if request_seconds is None else BEGIN - round(request_seconds * 1e6)
    assert retention.next_time == BEGIN
    assert retention.due() == Prune(
        completed_before=BEGIN - 60_000_000, requests_before=requests, limit=STEP_ORDERS
    )


@pytest.mark.parametrize(
    ("pruned", "pause"),
    [(0, LOOK_SECONDS), (STEP_ORDERS - 1, LOOK_SECONDS), (STEP_ORDERS, STEP_SECONDS)],
)
def test_it_looks_again_soon_while_there_may_be_more(pruned: int, pause: float) -> None:
    clock = Turned()
    retention = Retention(seconds=60.0, request_seconds=None, clock=clock)
    retention.note(retention.due(), pruned, 1000)
    assert retention.due() is None
    clock.turn(pause)
    due = retention.due()
    assert due is not None
    assert due.completed_before == clock.now - 60_000_000


def test_a_commit_that_was_not_asked_to_forget_changes_nothing() -> None:
    retention = Retention(seconds=60.0, request_seconds=None, clock=Turned())
    retention.note(None, 0, 0)
    assert retention.due() is not None


YEAR = 365 * 24 * 3600.0


def test_a_glitch_of_the_clock_forgets_nothing() -> None:
    clock = Turned()
    retention = Retention(seconds=YEAR, request_seconds=None, clock=clock)
    assert retention.due() is not None
    clock.turn(5)
    clock.leap(YEAR)
    for _ in range(20):
        assert retention.due() is None
        clock.turn(0.1)
    clock.leap(-YEAR)
    clock.turn(LEAP_SECONDS)
    assert retention.due() is None
    clock.turn(LEAP_SECONDS)
    assert retention.due() is not None


@pytest.mark.parametrize("kept", [0, 100, 1_000_000])
def test_only_a_share_of_the_log_is_forgotten_in_a_minute(kept: int) -> None:
    clock = Turned()
    retention = Retention(seconds=YEAR, request_seconds=None, clock=clock)
    pruned = 0
    for _ in range(int(59 / STEP_SECONDS)):
        prune = retention.due()
        if prune:
            pruned += prune.limit
            retention.note(prune, prune.limit, kept)
        clock.turn(STEP_SECONDS)
    assert pruned == max(STEP_ORDERS, (kept + STEP_ORDERS) // 100)
    clock.turn(2)
    assert retention.due() is not None


def test_a_log_that_is_kept_for_a_short_time_is_forgotten_as_fast_as_it_grows() -> None:
    clock = Turned()
    retention = Retention(seconds=10.0, request_seconds=None, clock=clock)
    pruned = 0
    for _ in range(59):
        if prune := retention.due():
            retention.note(prune, prune.limit, 10_000)
            pruned += prune.limit
        clock.turn(1)
    assert pruned > 59 * 150
    with capture_logs() as logs:
        clock.turn(2)
        retention.due()
    assert [(line["event"], line["orders"]) for line in logs] == [
        ("old completions were pruned", pruned)
    ]
