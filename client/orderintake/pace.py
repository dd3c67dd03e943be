"""Whether an order that was refused may be placed again, and how soon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from grpc import StatusCode

from orderintake.errors import CustomerQuota, OrderIntakeError, Unavailable

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
    """How long to wait before orders are placed again for which there was no room."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without a wait. `clock` counts seconds."""
        self._clock = clock
        self._told_at: float | None = None

    def wait(self, error: OrderIntakeError, waits: int) -> float | None:
        """Return the seconds to wait for room, for an order that has waited so often; None: don't.

        It is in vain where the order is refused for something else than room, or time and again.
        """
        is_room = isinstance(error, CustomerQuota) or error.reason == _NO_ROOM
        if not is_room or waits >= MOST_WAITS:
            return None
        told = error.retry_after if isinstance(error, CustomerQuota | Unavailable) else None
        return WAIT_SECONDS if told is None else told

    def has_to_tell(self) -> bool:
        """Tell whether people are to be told of the wait: the first one, and once a minute."""
        now = self._clock()
        if self._told_at is not None and now < self._told_at + TELL_SECONDS:
            return False
        self._told_at = now
        return True
