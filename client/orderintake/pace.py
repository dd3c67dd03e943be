"""How many orders of a file are sent at once, and when, by what the server refused before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from grpc import StatusCode

from orderintake.errors import CustomerQuota, InvalidOrder, OrderIntakeError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_WAITS = 10
"""How often it waits for room for one single order, before it gives up."""

WAIT_SECONDS = 1.0
"""How long it waits where the server does not say."""

TELL_SECONDS = 60.0

_NO_ROOM = "QUEUE_FULL"

_UNKNOWN = frozenset(
    {
        *(StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED),
        *(StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.ABORTED, StatusCode.DATA_LOSS),
    }
)
"""The codes after which a request may have been carried out all the same; see `is_definite`."""


def is_definite(error: OrderIntakeError) -> bool:
    """Tell whether nothing of the request was stored, for certain.

    Of the errors that a call meets on its way, none is: an attempt before may have come further.
    """
    return error.reason == _NO_ROOM or error.code not in _UNKNOWN


class Pace:
    """The number of orders to send at once: halved when refused for their number, then doubled."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with as many as the service takes in a batch. `clock` counts seconds."""
        self.size = self._most = most
        self._waits = 0
        self._clock = clock
        self._told_at: float | None = None

    def accepted(self) -> None:
        """Send more at once, for so many were accepted."""
        self.size = min(2 * self.size, self._most)
        self._waits = 0

    def refused(self, error: OrderIntakeError, count: int) -> float:
        """Send fewer at once, for so many were refused; return the seconds to wait before.

        It waits only when not even one order is accepted: the server's time is that for all of
        them, and for fewer there may be room now.

        Raises:
            OrderIntakeError: the error itself, if neither fewer nor later helps.
        """
        is_later = isinstance(error, CustomerQuota) or error.reason == _NO_ROOM
        if not (is_later or (_is_for_their_number(error) and count > 1)):
            raise error
        self.size = max(1, count // 2)
        if count > 1:
            return 0.0
        self._waits += 1
        if self._waits > MOST_WAITS:
            raise error
        return _retry_after(error)

    def has_to_tell(self) -> bool:
        """Tell whether people are to be told of the wait: the first one, and once a minute."""
        now = self._clock()
        if self._told_at is not None and now < self._told_at + TELL_SECONDS:
            return False
        self._told_at = now
        return True


def _retry_after(error: OrderIntakeError) -> float:
    told = error.retry_after if isinstance(error, CustomerQuota | Unavailable) else None
    return WAIT_SECONDS if told is None else told


def _is_for_their_number(error: OrderIntakeError) -> bool:
    """Tell whether fewer orders may be accepted: no single one of them is called bad."""
    if isinstance(error, InvalidOrder):
        return not any(bad.field.startswith("requests[") for bad in error.violations)
    return error.code == StatusCode.RESOURCE_EXHAUSTED and not error.reason
