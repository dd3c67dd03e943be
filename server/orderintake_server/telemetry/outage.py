"""How an outage is told in the log: at once, then once a minute while it goes on, then its end."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

TELL_SECONDS = 60.0
"""An outage that goes on is told so often."""

log = get_logger()


class Outage:
    """Tells of one thing that fails, however often that is noticed."""

    def __init__(
        self,
        begins: str,
        ends: str = "",
        *,
        level: int = logging.ERROR,
        clock: Callable[[], float] = time.monotonic,
        **about: str,
    ) -> None:
        """Tell failures by the words `begins`, at this level, and the end by the words `ends`.

        `clock` measures in seconds that never go back. `about` stands in each entry. Without
        `ends` nobody notices the end: a minute without a failure is one.
        """
        self._begins = begins
        self._ends = ends
        self._level = level
        self._clock = clock
        self._about = about
        self._began: float | None = None
        self._told = self._latest = 0.0
        self._untold = 0

    def goes_on(self, error: Exception, **about: str) -> bool:
        """Note a failure, which is told if none was for a minute; whether an outage begins."""
        now, before = self._clock(), self._latest
        if not self._ends and now - before >= TELL_SECONDS:
            self._began = None
        begins, self._latest = self._began is None, now
        began = self._began = now if self._began is None else self._began
        if not begins and now - self._told < TELL_SECONDS:
            self._untold += 1
            return False
        told = {**self._about, **about, "error": str(error), "seconds": round(now - began, 1)}
        if self._untold:
            told["untold"] = self._untold
        self._told, self._untold = now, 0
        log.log(self._level, self._begins, **told)
        return begins

    def is_over(self) -> bool:
        """Note a success; the end of an outage is told. Whether there was one."""
        if self._began is None:
            return False
        seconds = round(self._clock() - self._began, 1)
        self._began, self._untold = None, 0
        log.info(self._ends, **self._about, seconds=seconds)
        return True
