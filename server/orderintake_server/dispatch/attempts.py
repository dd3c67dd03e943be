"""The attempts in process, and how one of them is asked to stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.domain import Order


class StopSignal:
    """Tells one attempt that its order was cancelled; any thread may read it."""

    def __init__(self) -> None:
        """Begin without a request."""
        self._event = threading.Event()
        self.on_request: Callable[[], object] | None = None

    @property
    def is_requested(self) -> bool:
        """Whether the attempt was asked to stop."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask the attempt to stop; a second request changes nothing."""
        if not self._event.is_set():
            self._event.set()
            if self.on_request is not None:
                self.on_request()


class Attempts:
    """The stop signals of all attempts in process.

    An order may have two attempts here. When a server was frozen, other servers consider it dead
    and its leases expire. It may then claim the same order again while its old attempt still runs.
    """

    def __init__(self) -> None:
        """Begin with nothing in process."""
        self._signals: dict[int, tuple[int, StopSignal]] = {}
        """By start sequence, which belongs to one attempt only: accept sequence and signal."""

    def begin(self, order: Order) -> StopSignal:
        """Return the signal of an order's latest attempt; the first call makes it."""
        _, signal = self._signals.setdefault(
            order.start_sequence, (order.accept_sequence, StopSignal())
        )
        return signal

    def end(self, order: Order) -> None:
        """Drop the signal of an attempt that has ended."""
        self._signals.pop(order.start_sequence, None)

    def stop(self, accept_sequence: int) -> None:
        """Ask every attempt of an order to stop, also one that a worker is about to start."""
        for number, signal in self._signals.values():
            if number == accept_sequence:
                signal.request()
