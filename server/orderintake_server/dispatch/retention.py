"""When old completions are pruned: in small steps, and only a share of the log in a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.clock import LeapWatch
from orderintake_server.logger import get_logger
from orderintake_server.store.changes import Prune

if TYPE_CHECKING:
    from orderintake_server.clock import Clock

STEP_ORDERS = 200
"""Orders pruned by one commit, a few milliseconds of work; and in a minute, of a short log too."""
STEP_SECONDS = 0.05
"""Time between two steps while there is more to prune."""
LOOK_SECONDS = 1.0
"""Time between two steps when there was nothing more to prune."""
MINUTE = 60_000_000
"""In microseconds. Only a share of the log is pruned in it, and at its end it is told how much."""
SHARE = 0.01
"""Of the log, in a minute. All of it would take hours, in which somebody sees to a wrong clock."""
PACE = 4.0
"""Where orders are kept for less than some hours, the share is so many times what ends in a minute
on average: the log must not grow because of it."""
LEAP_SECONDS = 60.0
"""After the clock leapt nothing is pruned for this time: it may leap back."""

log = get_logger()


class Retention:
    """What is old enough to be pruned, and when to prune next, however the clock leaps."""

    def __init__(
        self,
        *,
        seconds: float | None,
        request_seconds: float | None,
        clock: Clock,
        step_orders: int = STEP_ORDERS,
    ) -> None:
        """Keep orders for `seconds` after their end, request_ids for `request_seconds`.

        None means for ever. One commit prunes at most `step_orders` orders.
        """
        self._step_orders = step_orders
        self._seconds = seconds
        self._request_seconds = request_seconds
        self._clock = clock
        self._leaps = LeapWatch()
        self.next_time = None if seconds is None else clock.steady()
        """When to prune next, by the steady time."""
        self._minute = clock.steady()
        self._pruned = 0
        self._most: int | None = None

    def due(self) -> Prune | None:
        """Return what to prune now; None when it is not yet time."""
        if self._seconds is None or self.next_time is None:
            return None
        moment = self._clock.moment()
        if self._leaps.leap(moment):
            self.next_time = moment.steady + round(LEAP_SECONDS * 1e6)
        self._leaps.keep(moment)
        left = self._left(moment.steady)
        if moment.steady < self.next_time or not left:
            return None
        requests = self._request_seconds
        return Prune(
            completed_before=moment.now - round(self._seconds * 1e6),
            requests_before=None if requests is None else moment.now - round(requests * 1e6),
            limit=min(self._step_orders, left),
        )

    def _left(self, steady: int) -> int:
        """Return how much may still be pruned in this minute; begin another if it is over."""
        if steady - self._minute >= MINUTE:
            if self._pruned:
                log.info("old completions were pruned", orders=self._pruned, seconds=60)
            self._minute, self._pruned, self._most = steady, 0, None
        return STEP_ORDERS if self._most is None else max(self._most - self._pruned, 0)

    def note(self, prune: Prune | None, pruned: int, kept: int) -> None:
        """Note how much a commit pruned and the log has left, and so when the next step is due."""
        if prune is None or self._seconds is None:
            return
        if self._most is None:
            share = max(SHARE, PACE * 60 / self._seconds)
            self._most = max(round((kept + pruned) * share), STEP_ORDERS)
        self._pruned += pruned
        seconds = STEP_SECONDS if pruned >= prune.limit else LOOK_SECONDS
        self.next_time = self._clock.steady() + round(seconds * 1e6)
