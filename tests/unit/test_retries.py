"""P11: whether a failed attempt is followed by another, and when."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderintake_server.dispatch.retries import RetryPolicy

POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 1000),
    first_seconds=st.just(0.0) | st.floats(1e-6, 1e6),
    factor=st.floats(1, 100),
    most_seconds=st.floats(0, 1e6),
)
CHANCES = st.floats(0, 1)


def ceiling(policy: RetryPolicy, tries: int) -> float:
    """Tell the longest delay after so many tries, by whole powers and no float's limit."""
    delay = policy.first_seconds
    for _ in range(tries - 1):
        delay = min(delay * policy.factor, policy.most_seconds)
    return min(delay, policy.most_seconds)


@given(POLICIES, st.integers(1, 2000), CHANCES)
def test_a_delay_is_within_its_bounds_and_there_is_none_after_the_last(
    policy: RetryPolicy, tries: int, chance: float
) -> None:
    delay = policy.delay_seconds(tries, lambda: chance)
    if tries >= policy.max_attempts:
        assert delay is None
    else:
        assert delay is not None
        assert 0 <= delay <= policy.most_seconds
        assert delay == pytest.approx(chance * ceiling(policy, tries), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("tries", [1, 64, 65, 1_000, 10**9])
@pytest.mark.parametrize("factor", [1.0, 2.0, 100.0, 1e300])
def test_however_often_it_was_tried_there_is_a_delay(factor: float, tries: int) -> None:
    policy = RetryPolicy(max_attempts=10**10, factor=factor, most_seconds=300.0)
    delay = policy.delay_seconds(tries, lambda: 1.0)
    assert delay == (1.0 if factor == 1.0 or tries == 1 else 300.0)


def test_without_a_first_delay_there_is_never_one() -> None:
    policy = RetryPolicy(max_attempts=10**10, first_seconds=0.0, factor=100.0)
    assert {policy.delay_seconds(tries, lambda: 1.0) for tries in (1, 10, 10**6)} == {0.0}


def test_a_small_factor_grows_to_the_limit_too() -> None:
    policy = RetryPolicy(max_attempts=1000, factor=1.05, most_seconds=300.0)
    delays = [policy.delay_seconds(tries, lambda: 1.0) for tries in (1, 65, 100, 200)]
    assert delays == [1.0, pytest.approx(1.05**64), pytest.approx(1.05**99), 300.0]


def test_by_default_delays_double_up_to_five_minutes() -> None:
    policy = RetryPolicy(max_attempts=20)
    delays = [policy.delay_seconds(tries, lambda: 1.0) for tries in range(1, 21)]
    assert delays[:5] == [1, 2, 4, 8, 16]
    assert delays[9:] == [300.0] * 10 + [None]


def test_delays_are_spread_over_the_whole_time() -> None:
    policy = RetryPolicy(first_seconds=10.0)
    chance = random.Random(1)
    delays = [policy.delay_seconds(1, chance.random) or 0.0 for _ in range(1000)]
    assert min(delays) < 0.1
    assert max(delays) > 9.9
    assert sum(delays) / 1000 == pytest.approx(5, rel=0.1)
