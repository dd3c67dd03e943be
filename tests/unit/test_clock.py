"""What is due is due by the time now, and a leap of the clock is noticed, whichever way it goes."""

import time

from hypothesis import given
from hypothesis import strategies as st

from orderintake_server.clock import LEAP_SECONDS, LOOK_SECONDS, Alarm, Clock, LeapWatch
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
