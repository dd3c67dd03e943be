"""The clock: what time it is now, and by how much the clock of the machine leapt."""

from __future__ import annotations

import time
from typing import NamedTuple

from orderintake_server.logger import get_logger

FORGET_SECONDS = 60.0
"""So long a leap that another replica is to judge is believed. Under load that one may take seconds
to see it, and what it has not seen would end delays early; meanwhile others may end them late."""
LOOK_SECONDS = 1.0
"""Who waits for a time of day looks so often whether the clock leapt, or the machine was asleep."""
TOGETHER_SECONDS = 0.1
"""The most that may pass while both clocks are read: a process can be stopped between the two."""
LEAP_SECONDS = 0.25
"""A difference that is no slow correction of the clock, which is at most 500 µs a second."""

log = get_logger()


class Clock:
    """The one judge of time. What is due is due by the time now, whatever the time was before.

    The time of day may leap, either way. The steady time never does: it measures lengths, while
    the process lives.
    """

    def __call__(self) -> int:
        """Return the time of day in microseconds since 1970."""
        return time.time_ns() // 1_000

    def steady(self) -> int:
        """Return the steady time, in microseconds."""
        return time.monotonic_ns() // 1_000

    def moment(self) -> Moment:
        """Return both times as they are now, read so soon after each other that they fit."""
        while True:
            began, now, steady = self.steady(), self(), self.steady()
            if steady - began < TOGETHER_SECONDS * 1e6:
                return Moment(now, steady)


class Moment(NamedTuple):
    """The time of day and the steady time, at one moment."""

    now: int
    steady: int


class LeapWatch:
    """Tells by how much the time of day leapt, against the steady time, from look to look."""

    def __init__(self) -> None:
        """Begin with the first moment that is to be kept."""
        self._difference: int | None = None

    def leap(self, moment: Moment) -> int:
        """Return by how many microseconds the time of day leapt before `moment`; 0: it did not."""
        if self._difference is None:
            return 0
        leap = moment.now - moment.steady - self._difference
        return leap if abs(leap) >= LEAP_SECONDS * 1e6 else 0

    def keep(self, moment: Moment) -> None:
        """Count leaps from this moment on."""
        self._difference = moment.now - moment.steady

    def expected(self, steady: int) -> int | None:
        """Return the time of day at this steady time if there is no leap; None: it is not known."""
        return None if self._difference is None else self._difference + steady


class FollowedClock:
    """The clock of a database, as one of its replicas sees it by a look now and then.

    Replicas have it in common how much it leapt in all (`leapt`). One of them judges it: a leap
    that it sees counts when it has been added there, and from then on for all of them.
    """

    def __init__(self) -> None:
        """Begin with the first look."""
        self._looks = LeapWatch()
        self._since: int | None = None
        self.leap = 0
        """By how many microseconds the clock leapt since all leaps that were added; 0: not."""
        self.leapt = 0
        """All leaps that were added, when the clock was looked at last."""

    def look(self, moment: Moment, leapt: int, *, judges: bool) -> bool:
        """Note a moment of this clock and our steady time; tell whether it has leapt just now.

        Who does not judge it forgets a leap that is not added for long: it was none for others.
        """
        unleapt = Moment(moment.now - leapt, moment.steady)
        was_seen, self.leapt, self.leap = self.leap, leapt, self._looks.leap(unleapt)
        self._since = (self._since or moment.steady) if self.leap else None
        is_old = self._since is not None and moment.steady - self._since > FORGET_SECONDS * 1e6
        if not self.leap or (is_old and not judges):
            self._looks.keep(unleapt)
            self.leap, self._since = 0, None
        return bool(self.leap) and not was_seen

    def expected(self, steady: int) -> int | None:
        """Return what the clock says at this steady time at the most if it did not leap."""
        unleapt = self._looks.expected(steady)
        return None if unleapt is None else unleapt + self.leapt + round(LEAP_SECONDS * 1e6)


class Alarm:
    """How long to sleep until a time of day, which may come sooner or later than it seemed."""

    def __init__(self, clock: Clock, due: int | None) -> None:
        """Wait for the time `due`, in microseconds since 1970; None: for no time."""
        self._clock = clock
        self._leaps = LeapWatch()
        self.due = due

    def notice_leap(self) -> None:
        """If the clock leapt, say so in the log, and be due at once: all is judged anew."""
        moment = self._clock.moment()
        if leap := self._leaps.leap(moment):
            log.warning("the clock leapt; what is due is judged anew", seconds=round(leap / 1e6, 3))
            self.due = moment.now
        self._leaps.keep(moment)

    def seconds(self, *steady_times: int | None) -> float:
        """Return the seconds until the alarm is due, or one of the steady times has come.

        At most LOOK_SECONDS: then it is time to look whether the clock leapt.
        """
        moment = self._clock.moment()
        lengths = [time - moment.steady for time in steady_times if time is not None]
        if self.due is not None:
            lengths.append(self.due - moment.now)
        seconds = min(lengths, default=LOOK_SECONDS * 1e6) / 1e6
        return min(max(seconds, 0.0), LOOK_SECONDS)
