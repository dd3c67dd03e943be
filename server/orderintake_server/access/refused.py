"""Tells in the log why callers are refused: seldom enough that strangers cannot fill it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.access.checks import CheckFailed

WINDOW_SECONDS = 10.0
MOST_LINES = 5
"""For one check, within the window; the first line after it tells how many were left out."""
MOST_CHECKS = 100

log = get_logger()


class RefusalLog:
    """The lines about callers that were refused."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Count in windows of this clock, in seconds."""
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}
        """For each check, when its window began, and how often it failed since."""

    def tell(self, failed: CheckFailed, peer: Callable[[], str]) -> None:
        """Tell of one refusal, unless there were enough of its kind just now."""
        since, count = self._windows.get(failed.check, (self._clock(), 0))
        suppressed = 0
        if self._clock() - since >= WINDOW_SECONDS:
            since, suppressed, count = self._clock(), max(count - MOST_LINES, 0), 0
        if len(self._windows) >= MOST_CHECKS:
            self._windows.clear()
        self._windows[failed.check] = since, count + 1
        if count < MOST_LINES:
            log.info(
                "a call was refused: its caller is not known",
                problem=failed.problem.value,
                check=failed.check,
                peer=peer(),
                **({"suppressed": suppressed} if suppressed else {}),
            )
