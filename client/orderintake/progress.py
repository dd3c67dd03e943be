"""How far a subscriber has come, and when that is worth storing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_SECONDS = 5.0
"""How long a cursor that moves without completions waits, at least, before it is stored."""


class Progress:
    """Which cursor is behind what was handled: what is handed out counts once more is asked for.

    Attributes:
        cursor: the place behind what was handed out, and behind all that had nothing to hand out.
    """

    def __init__(self, cursor: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at a place, "" if not known yet; nothing is stored. `clock` counts seconds."""
        self.cursor = cursor
        self._clock = clock
        self._handled = ""
        self._stored: str | None = None
        self._stored_at = 0.0
        self._has_worked = False

    def passed(self, cursor: str) -> None:
        """Move on: more was asked for, and up to here there is nothing to hand out."""
        self.cursor = self._handled = cursor

    def handed_out(self, cursor: str) -> None:
        """Move on: all up to here is with the subscriber, who begins to handle it."""
        self.cursor = cursor
        self._has_worked = True

    def asked(self) -> None:
        """Take all that was handed out for handled: more is asked for."""
        self._handled = self.cursor

    def due(self) -> str | None:
        """Return the cursor to store now that more is asked for and none is there; None: no need.

        Where no completion was handled since, it has to wait for its time: see IDLE_SECONDS.
        """
        is_idle = self._stored is not None and not self._has_worked
        if is_idle and self._clock() < self._stored_at + IDLE_SECONDS:
            return None
        return self._unless_stored(self._handled)

    def last(self, *, failed: bool) -> str | None:
        """Return the cursor to store when the subscriber leaves; None if there is no need.

        Who leaves for good has handled all. Who failed has not handled what was handed out last:
        it comes again.
        """
        return self._unless_stored(self._handled if failed else self.cursor)

    def _unless_stored(self, cursor: str) -> str | None:
        return None if cursor in {"", self._stored} else cursor

    def stored(self, cursor: str) -> None:
        """Know that this cursor is stored."""
        self._stored = cursor
        self._stored_at = self._clock()
        self._has_worked = False
