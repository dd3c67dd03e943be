"""The attempts under way, and how one is told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.work.attempt import StopSignal

if TYPE_CHECKING:
    from orderintake_server.domain import Order

__all__ = ["Attempts", "StopSignal"]


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
