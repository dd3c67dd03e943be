"""What is due is due by the time now, and a leap of the clock is noticed, whichever way it goes."""

import time

from hypothesis import given
from hypothesis import strategies as st

from orderintake_server.clock import (
    FORGET_SECONDS,
    LEAP_SECONDS,
    LOOK_SECONDS,
    Alarm,
    Clock,
    FollowedClock,
    LeapWatch,
    Moment,
)
from support.clocks import SECOND, Microseconds
from support.logs import capture_logs

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.3, -0.3, 2.0, -2.0, 3600.0, -3e7, 3e7]), st.floats(0, 5)
    ),
    max_size=30,
)
"""By how much the clock is set, and then how many seconds pass."""


class Stopped(Microseconds):
    """A clock of a process that was stopped once, between reading the one time and the other."""

    seconds = 0.0

    def __call__(self) -> int:
        now = super().__call__()
        self.turn(self.seconds)
        self.seconds = 0.0
        return now


def test_the_clock_tells_the_time_of_day_and_one_that_only_grows() -> None:
    before, moment, after = time.time_ns(), Clock().moment(), time.time_ns()
    assert before // 1_000 <= moment.now <= after // 1_000
    assert moment.steady <= Clock().steady()


@given(steps=STEPS)
def test_all_leaps_are_noticed_and_nothing_else(steps: list[tuple[float, float]]) -> None:
    clock, watch = Microseconds(), LeapWatch()
    watch.keep(clock.moment())
    for leap, seconds in steps:
        clock.leap(leap)
        clock.turn(seconds)
        moment = clock.moment()
        assert watch.leap(moment) == (round(leap * SECOND) if abs(leap) >= LEAP_SECONDS else 0)
        watch.keep(moment)
        assert watch.leap(clock.moment()) == 0


@given(steps=STEPS, due=st.floats(-10, 100))
def test_an_alarm_is_due_by_the_time_now(steps: list[tuple[float, float]], due: float) -> None:
    clock = Microseconds()
    alarm = Alarm(clock, due=clock.later(due))
    for leap, seconds in steps:
        clock.leap(leap)
        clock.turn(seconds)
        left = (alarm.due - clock.now) / SECOND if alarm.due is not None else LOOK_SECONDS
        assert abs(alarm.seconds() - min(max(left, 0.0), LOOK_SECONDS)) < 0.001
        assert alarm.seconds(clock.steady()) == 0.0


def test_a_leap_is_told_once_and_makes_the_alarm_due() -> None:
    clock = Microseconds()
    alarm = Alarm(clock, due=None)
    with capture_logs() as logs:
        alarm.notice_leap()
        assert alarm.seconds() == LOOK_SECONDS
        clock.leap(-7200)
        alarm.notice_leap()
        alarm.notice_leap()
    assert alarm.seconds() == 0.0
    assert [line["seconds"] for line in logs] == [-7200.0]


def test_a_process_that_is_stopped_while_it_reads_the_clock_sees_no_leap() -> None:
    clock, watch = Stopped(), LeapWatch()
    watch.keep(clock.moment())
    clock.seconds = 30.0
    assert watch.leap(clock.moment()) == 0


LOOKS = st.lists(
    st.tuples(st.sampled_from([0, 0, 0, 2, -2, 3600, -3600]), st.integers(0, 1), st.booleans()),
    max_size=40,
)
"""By how much a database's clock is set, then which of two replicas looks at it, and whether it
commits before the clock is set again."""


@given(LOOKS)
def test_a_leap_that_two_replicas_see_is_added_once(looks: list[tuple[int, int, bool]]) -> None:
    steady, leapt, added = 1_000 * SECOND, 0, 0
    replicas = FollowedClock(), FollowedClock()
    for replica in replicas:
        replica.look(Moment(steady, steady), 0, judges=replica is replicas[0])
    for seconds, who, commits in looks:
        leapt += seconds * SECOND
        steady += SECOND // 100
        clock = replicas[who]
        clock.look(Moment(steady + leapt, steady), added, judges=who == 0)
        if commits and who == 0 and clock.leapt == added:  # as follow_clock does it
            added += clock.leap
            assert added == leapt
    replicas[0].look(Moment(steady + leapt, steady), added, judges=True)
    assert added + replicas[0].leap == leapt


def test_a_leap_that_nobody_else_sees_is_forgotten_in_the_end_by_who_does_not_judge() -> None:
    clock = FollowedClock()
    clock.look(Moment(0, 0), 0, judges=False)
    assert clock.look(Moment(3600 * SECOND, 1), 0, judges=False)
    assert clock.expected(1) == 1 + LEAP_SECONDS * SECOND
    assert not clock.look(Moment(3610 * SECOND, 10 * SECOND), 0, judges=False)
    assert clock.leap, "who judges may be slow"
    later = round((FORGET_SECONDS + 0.1) * SECOND)
    assert not clock.look(Moment(3600 * SECOND + later, later), 0, judges=False)
    assert (clock.leap, clock.expected(later)) == (
        0,
        3600 * SECOND + later + LEAP_SECONDS * SECOND,
    )
