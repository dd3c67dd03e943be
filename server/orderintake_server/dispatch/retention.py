"""When old completions are forgotten: in small steps, so that nobody waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.store.changes import Prune

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_ORDERS = 200
"""Forgotten by one commit: a few milliseconds of it."""
STEP_SECONDS = 0.05
"""Between two steps while there is more to forget."""
LOOK_SECONDS = 1.0
"""Between two looks when there is nothing more."""


class Retention:
    """What is old enough to be forgotten, and when to look for it."""

    def __init__(
        self,
        *,
        seconds: float | None,
        request_seconds: float | None,
        clock: Callable[[], int],
        step_orders: int = STEP_ORDERS,
    ) -> None:
        """Keep orders so long after they ended, and their request_ids so long; None: for ever.

        `clock` tells the time in microseconds since 1970. One commit forgets `step_orders`.
        """
        self._step_orders = step_orders
        self._seconds = seconds
        self._request_seconds = request_seconds
        self._clock = clock
        self.next_time = None if seconds is None else clock()

    def due(self) -> Prune | None:
        """Tell what is to be forgotten now, if it is time to look."""
        now = self._clock()
        if self._seconds is None or self.next_time is None or now < self.next_time:
            return None
        requests = self._request_seconds
        return Prune(
            completed_before=now - round(self._seconds * 1e6),
            requests_before=None if requests is None else now - round(requests * 1e6),
            limit=self._step_orders,
        )

    def note(self, asked: Prune | None, pruned: int) -> None:
        """Take note of how much was forgotten, to know when to look again."""
        if asked is not None:
            seconds = STEP_SECONDS if pruned >= asked.limit else LOOK_SECONDS
            self.next_time = self._clock() + round(seconds * 1e6)
