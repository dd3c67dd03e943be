"""The attempts under way, and how one is told to stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.domain import Order


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
    """The stop signal of every attempt in process.

    An order may have two of them here: a server that was frozen is taken for dead, and may then be
    the one that is given the order again, while its old attempt is still at work.
    """

    def __init__(self) -> None:
        """Begin with nothing in process."""
        self._signals: dict[int, tuple[int, StopSignal]] = {}
        """By start sequence, which is one attempt's alone; each with its accept sequence."""

    def begin(self, order: Order) -> StopSignal:
        """Give the signal of an order's latest attempt, for who starts it and who makes it."""
        _, signal = self._signals.setdefault(
            order.start_sequence, (order.accept_sequence, StopSignal())
        )
        return signal

    def end(self, order: Order) -> None:
        """Forget an attempt."""
        self._signals.pop(order.start_sequence, None)

    def stop(self, accept_sequence: int) -> None:
        """Tell every attempt of an order to stop, also one that a worker is just about to make."""
        for number, signal in self._signals.values():
            if number == accept_sequence:
                signal.request()
