"""How long to wait before a process is started again: longer each time, until it lives well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_SECONDS = 0.1
FACTOR = 2
MOST_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""A process that lived so long is forgiven what those before it did."""


class Backoff:
    """The delays of one process after the other, by a clock that never leaps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none that ended."""
        self._clock = clock
        self._next = FIRST_SECONDS
        self._began = clock()

    def begin(self) -> None:
        """Note that a process is at work from now on."""
        self._began = self._clock()

    def delay(self) -> float:
        """Tell how many seconds to wait, now that the process has ended, before the next one."""
        if self._clock() - self._began >= HEALTHY_SECONDS:
            self._next = FIRST_SECONDS
        delay = self._next
        self._next = min(delay * FACTOR, MOST_SECONDS)
        self._began = self._clock()
        return delay
