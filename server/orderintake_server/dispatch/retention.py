"""When old completions are pruned: in small steps, so that nobody has to wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.store.changes import Prune

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_ORDERS = 200
"""Orders pruned by one commit: a few milliseconds of work."""
STEP_SECONDS = 0.05
"""Time between two steps while there is more to prune."""
LOOK_SECONDS = 1.0
"""Time between two steps when there was nothing more to prune."""


class Retention:
    """What is old enough to be pruned, and when to prune next."""

    def __init__(
        self,
        *,
        seconds: float | None,
        request_seconds: float | None,
        clock: Callable[[], int],
        step_orders: int = STEP_ORDERS,
    ) -> None:
        """Keep orders for `seconds` after their end, request_ids for `request_seconds`.

        None means for ever. `clock` returns the time in microseconds since 1970. One commit prunes
        at most `step_orders` orders.
        """
        self._step_orders = step_orders
        self._seconds = seconds
        self._request_seconds = request_seconds
        self._clock = clock
        self.next_time = None if seconds is None else clock()

    def due(self) -> Prune | None:
        """Return what to prune now; None when it is not yet time."""
        now = self._clock()
        if self._seconds is None or self.next_time is None or now < self.next_time:
            return None
        requests = self._request_seconds
        return Prune(
            completed_before=now - round(self._seconds * 1e6),
            requests_before=None if requests is None else now - round(requests * 1e6),
            limit=self._step_orders,
        )

    def note(self, prune: Prune | None, pruned: int) -> None:
        """Note how much a commit pruned, and so when the next step is due."""
        if prune is not None:
            seconds = STEP_SECONDS if pruned >= prune.limit else LOOK_SECONDS
            self.next_time = self._clock() + round(seconds * 1e6)
