"""P5: how long one must wait for room, by the measured rate of starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderintake_server.dispatch.rate import LEAST_SECONDS, MOST_SECONDS, DequeueRate
from support.clocks import Seconds


def _steady(clock: Seconds, drain: DequeueRate, *, per_second: int, seconds: int) -> None:
    for _ in range(seconds * 10):
        clock.turn(0.1)
        drain.add(per_second // 10)


def test_before_anything_started_the_longest_wait_is_named() -> None:
    clock = Seconds()
    drain = DequeueRate(clock)
    assert drain.per_second() == 0
    assert drain.seconds_for(1) == MOST_SECONDS
    clock.turn(3600)
    assert drain.seconds_for(1) == MOST_SECONDS


def test_starts_at_the_very_first_moment_tell_no_rate() -> None:
    drain = DequeueRate(Seconds())
    drain.add(1000)
    assert drain.per_second() == 0
    assert drain.seconds_for(1) == MOST_SECONDS


@pytest.mark.parametrize("seconds", [1, 5, 20, 100])
def test_a_steady_rate_is_told_from_the_first_second_on(seconds: int) -> None:
    clock = Seconds()
    drain = DequeueRate(clock)
    _steady(clock, drain, per_second=100, seconds=seconds)
    assert drain.per_second() == pytest.approx(100, rel=0.06)
    assert drain.seconds_for(500) == pytest.approx(5, rel=0.06)


def test_a_new_rate_is_followed() -> None:
    clock = Seconds()
    drain = DequeueRate(clock)
    _steady(clock, drain, per_second=1000, seconds=60)
    _steady(clock, drain, per_second=10, seconds=60)
    assert drain.per_second() == pytest.approx(10, rel=0.3)


def test_a_queue_that_stands_still_fades() -> None:
    clock = Seconds()
    drain = DequeueRate(clock)
    _steady(clock, drain, per_second=100, seconds=60)
    clock.turn(10)
    assert drain.per_second() == pytest.approx(100 / 2.718, rel=0.05)
    clock.turn(1000)
    assert drain.per_second() == pytest.approx(0, abs=1e-9)
    assert drain.seconds_for(1) == MOST_SECONDS


def test_asking_changes_nothing() -> None:
    clock = Seconds()
    asked, left_alone = DequeueRate(clock), DequeueRate(clock)
    for _ in range(50):
        clock.turn(0.3)
        asked.add(3)
        left_alone.add(3)
        asked.per_second()
        asked.seconds_for(7)
    assert asked.per_second() == pytest.approx(left_alone.per_second())


def test_the_wait_is_never_shorter_or_longer_than_its_bounds() -> None:
    clock = Seconds()
    drain = DequeueRate(clock)
    _steady(clock, drain, per_second=100, seconds=10)
    assert drain.seconds_for(1) == LEAST_SECONDS
    assert drain.seconds_for(1_000_000) == MOST_SECONDS


STEPS = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 10_000)), max_size=20)


@given(STEPS, st.integers(1, 1000))
def test_whatever_happened_the_wait_is_within_its_bounds(
    steps: list[tuple[float, int]], orders: int
) -> None:
    clock = Seconds()
    drain = DequeueRate(clock)
    for seconds, starts in steps:
        clock.turn(seconds)
        drain.add(starts)
    assert drain.per_second() >= 0
    assert LEAST_SECONDS <= drain.seconds_for(orders) <= MOST_SECONDS
    assert drain.seconds_for(orders) <= drain.seconds_for(orders + 1)
