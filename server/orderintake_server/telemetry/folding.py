"""Entries that say the same again and again: after a few, only how many there were is told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from orderintake_server.telemetry.sink import LOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from structlog.typing import EventDict

WINDOW_SECONDS = 10.0
MOST_ENTRIES = 5
"""So many entries that say the same are written within the window."""
MOST_KINDS = 512
"""Of so many kinds of entries it is known how often they came."""

_TOLD_APART = {str, int, bool}
"""Types of fields by which entries differ. A fraction is a measurement: it always differs."""
_LEFT_OUT = {"peer"}
"""A caller's address has a port, so it always differs."""


class Folding:
    """Drops entries that repeat others; the next one that is written has `suppressed`.

    An entry repeats another when level, logger, text and fields are the same, and the order of
    which it tells; fractions and a caller's address do not count. So no two orders, incidents or
    operators' actions are ever taken for the same.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Count in windows of this clock, in seconds."""
        self._clock = clock
        self._young: dict[int, tuple[float, int]] = {}
        """When the window of each kind began, and how many entries came since."""
        self._old: dict[int, tuple[float, int]] = {}
        """The same of kinds that did not come since `_young` was empty."""

    def __call__(self, _: object, level: str, entry: EventDict) -> EventDict:
        """Return the entry. Raises DropEvent for one that is to be left out."""
        kind, now = _kind(level, entry), self._clock()
        since, count = self._young.get(kind) or self._old.get(kind) or (now, 0)
        if now - since >= WINDOW_SECONDS:
            if count > MOST_ENTRIES:
                entry["suppressed"] = count - MOST_ENTRIES
            since, count = now, 0
        self._note(kind, (since, count + 1))
        if count >= MOST_ENTRIES:
            LOST["folded"] += 1
            raise structlog.DropEvent
        return entry

    def _note(self, kind: int, window: tuple[float, int]) -> None:
        """Note a window; of many kinds those are forgotten that did not come for the longest."""
        if kind not in self._young and len(self._young) >= MOST_KINDS // 2:
            self._old, self._young = self._young, {}
        self._young[kind] = window


def _kind(level: str, entry: EventDict) -> int:
    """Return a number that only entries share that say the same; run no value's own code."""
    fields = {**structlog.contextvars.get_contextvars(), **entry}
    return hash((level, *((name, _apart(name, value)) for name, value in fields.items())))


def _apart(name: str, value: Any) -> Any:  # noqa: ANN401 - a field of any type
    if name in _LEFT_OUT or type(value) is float:
        return None
    return value if type(value) in _TOLD_APART else id(type(value))
