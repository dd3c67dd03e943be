"""The attempts under way, and how one is told to stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class StopSignal:
    """Tells one attempt that its order was cancelled; may be asked from any thread."""

    def __init__(self) -> None:
        """Begin without a request."""
        self._event = threading.Event()
        self.on_request: Callable[[], object] | None = None

    @property
    def is_requested(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask; the second time changes nothing."""
        if not self._event.is_set():
            self._event.set()
            if self.on_request is not None:
                self.on_request()


class Attempts:
    """The stop signal of every order in process, by accept sequence."""

    def __init__(self) -> None:
        """Begin with nothing in process."""
        self._signals: dict[int, StopSignal] = {}

    def begin(self, accept_sequence: int) -> StopSignal:
        """Give the signal of an attempt that begins; a request may have come just before."""
        return self._signals.setdefault(accept_sequence, StopSignal())

    def end(self, accept_sequence: int) -> None:
        """Forget an attempt."""
        self._signals.pop(accept_sequence, None)

    def stop(self, accept_sequence: int) -> None:
        """Tell an attempt to stop, also one that its worker is just about to begin."""
        self.begin(accept_sequence).request()
