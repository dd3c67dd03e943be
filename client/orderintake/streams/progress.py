"""How far a subscriber has come, when its cursor is saved, and for how long its stream is lost."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_SECONDS = 5.0
"""How long a cursor that moves without completions is not saved again."""

OUTAGE_SECONDS = 60.0
"""How often a loss that lasts is logged again."""

_log = logging.getLogger("orderintake")


class Progress:
    """What a subscriber was delivered and what it handled.

    What was delivered counts as handled when the subscriber asks for more.

    Attributes:
        cursor: the cursor after what was delivered, and after all that held nothing to deliver.
    """

    def __init__(self, cursor: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at a cursor, "" if not known yet; none is saved. `clock` counts seconds."""
        self.cursor = cursor
        self._clock = clock
        self._handled = ""
        self._saved: str | None = None
        self._saved_at = 0.0
        self._has_worked = False

    def advance(self, cursor: str) -> None:
        """Move to this cursor, up to which there is nothing to deliver."""
        self.cursor = self._handled = cursor

    def delivered(self, cursor: str) -> None:
        """Move to this cursor: the subscriber has all up to it, and begins to handle it."""
        self.cursor = cursor
        self._has_worked = True

    def handled(self) -> None:
        """Count all that was delivered as handled, for the subscriber asks for more."""
        self._handled = self.cursor

    def to_save(self) -> str | None:
        """Return the cursor to save before the subscriber waits for more; None if there is none.

        When no completion was handled since the last save, it waits: see IDLE_SECONDS.
        """
        is_idle = self._saved is not None and not self._has_worked
        if is_idle and self._clock() < self._saved_at + IDLE_SECONDS:
            return None
        return self._unless_saved(self._handled)

    def to_save_at_end(self, *, failed: bool) -> str | None:
        """Return the cursor to save when the subscriber leaves; None if there is none.

        A subscriber that leaves without an error has handled all. One that failed has not handled
        what was delivered last: it is delivered again the next time.
        """
        return self._unless_saved(self._handled if failed else self.cursor)

    def _unless_saved(self, cursor: str) -> str | None:
        return None if cursor in {"", self._saved} else cursor

    def saved(self, cursor: str) -> None:
        """Note that this cursor is saved now."""
        self._saved = cursor
        self._saved_at = self._clock()
        self._has_worked = False


class Outage:
    """A loss of the stream that is logged at once, once a minute while it lasts, and at its end."""

    def __init__(self, stream: str, clock: Callable[[], float]) -> None:
        """Begin without one; `clock` counts seconds, `stream` names it in the log."""
        self._stream = stream
        self._clock = clock
        self._lost_at: float | None = None
        self._told_at: float | None = None

    def begin(self, backoff: float, cause: Exception | None, *, announced: bool) -> None:
        """Log that the stream was lost, if that is due; warn unless the server announced it."""
        now = self._clock()
        self._lost_at = now if self._lost_at is None else self._lost_at
        if self._told_at is not None and now < self._told_at + OUTAGE_SECONDS:
            return
        level = logging.INFO if announced else logging.WARNING
        self._told_at = None if announced else now  # what was announced may last, too
        why = cause or "it was silent too long, or ended without an error"
        _log.log(level, "%s lost, reconnecting in %.2f s: %s", self._stream, backoff, why)

    def end(self) -> None:
        """Log that the stream is there again, if it was lost."""
        if self._lost_at is not None:
            seconds = self._clock() - self._lost_at
            _log.info("%s is back after %.1f s; nothing was missed", self._stream, seconds)
        self._lost_at = self._told_at = None
