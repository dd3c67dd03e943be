"""How many orders wait, how many more may, and how soon there is room again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.errors import QueueFull

if TYPE_CHECKING:
    from orderintake_server.dispatch.drain import DrainRate


class WaitingRoom:
    """The count of waiting orders against its limit, exact after every commit."""

    def __init__(self, *, limit: int, waiting: int, drain: DrainRate) -> None:
        """Begin with `waiting` orders, which may be more than `limit` after it was lowered."""
        self._limit = limit
        self._waiting = waiting
        self._drain = drain

    @property
    def left(self) -> int:
        """How many more orders may wait; less than none after the limit was lowered."""
        return self._limit - self._waiting

    def count(self, *, came: int, started: int) -> None:
        """Count orders that wait now, and orders that wait no longer because they started."""
        self._waiting += came - started
        self._drain.add(started)

    def refusal(self, orders: int) -> QueueFull:
        """Tell why there is no room for so many orders, and when there may be."""
        return QueueFull(
            f"{self._waiting} orders wait, of {self._limit} that may",
            retry_after=self._drain.seconds_for(orders),
        )
