"""The estimates that callers were told, and how many of them came true."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.metrics.counts import counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.domain import WaitEstimate

MOST = 128
"""So many orders are remembered at once: a sample, small enough that most orders of a burst are not
in it, and cost nothing. Which ones are does not depend on how their promises end: one more is taken
whenever there is room."""
LATE_FACTOR = 10
LATE_SECONDS = 60.0
"""Who has not started by ten times the promise and a minute will hardly start here: it was
cancelled, has expired, or runs at another server."""


class _Promise(NamedTuple):
    earliest: float
    latest: float
    forgotten: float


class Promises:
    """A sample of the orders that wait, each with the interval that its caller was promised first.

    An order for which a worker was free is left out: it does not wait, and there is no queue to
    estimate.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        """Measure with `clock`, in seconds; remember `most` orders at the most."""
        self._clock = clock
        self._most = most
        self._open: OrderedDict[int, _Promise] = OrderedDict()
        self.held = counts(("true", "false"))
        self.has_free_worker: Callable[[], bool] = lambda: False
        """Tells whether an order would start at once."""

    def __len__(self) -> int:
        """Return how many orders are remembered."""
        return len(self._open)

    def note(self, accept_sequence: int, estimate: Callable[[], WaitEstimate | None]) -> None:
        """Remember what is promised now, if there is room and it is the order's first promise.

        Only then an `estimate` is made, for it takes longer than all else here.
        """
        if accept_sequence in self._open or self.has_free_worker():
            return
        now = self._clock()
        has_room = len(self._open) < self._most or self._forgets_one(now)
        if has_room and (wait := estimate()):
            late = now + LATE_FACTOR * wait.most + LATE_SECONDS
            self._open[accept_sequence] = _Promise(now + wait.least, now + wait.most, late)

    def _forgets_one(self, now: float) -> bool:
        """Look at the one that was not looked at for longest; tell whether it made room."""
        accept_sequence, promise = self._open.popitem(last=False)
        if promise.forgotten <= now:
            return True
        self._open[accept_sequence] = promise
        return False

    def started(self, accept_sequence: int) -> None:
        """Count whether the promise of an order that starts now has held."""
        promise = self._open.pop(accept_sequence, None)
        if promise is not None:
            has_held = promise.earliest <= self._clock() <= promise.latest
            self.held[("true" if has_held else "false",)] += 1

    def cancelled(self, accept_sequence: int) -> None:
        """Forget an order that will not start."""
        self._open.pop(accept_sequence, None)
