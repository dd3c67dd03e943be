"""The attempts in process, and how one of them is asked to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.work.attempt import StopSignal

if TYPE_CHECKING:
    from orderintake_server.domain import Order

__all__ = ["Attempts", "StopSignal"]


class Attempts:
    """The stop signals of all attempts in process.

    An order may have two attempts here. When a server was frozen, other servers consider it dead
    and its leases expire. It may then claim the same order again while its old attempt still runs.
    """

    def __init__(self) -> None:
        """Begin with nothing in process."""
        self._signals: dict[int, tuple[int, StopSignal, int]] = {}
        """By start sequence, which belongs to one attempt only: accept sequence, signal, start."""

    def begin(self, order: Order) -> StopSignal:
        """Return the signal of an order's latest attempt; the first call makes it."""
        found = self._signals.get(order.start_sequence)
        if found is None:
            found = (order.accept_sequence, StopSignal(), order.start_time)
            self._signals[order.start_sequence] = found
        return found[1]

    def end(self, order: Order) -> None:
        """Drop the signal of an attempt that has ended."""
        self._signals.pop(order.start_sequence, None)

    def stop(self, accept_sequence: int) -> None:
        """Ask every attempt of an order to stop, also one that a worker is about to start."""
        for number, signal, _ in self._signals.values():
            if number == accept_sequence:
                signal.request()

    def in_process(self) -> list[tuple[int, int]]:
        """Return the accept sequence of each order, and when its attempt began, the oldest first.

        Times are microseconds since 1970.
        """
        return [(number, start_time) for number, _, start_time in self._signals.values()]
