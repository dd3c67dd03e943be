"""When a call that failed is made again, and which failures no repeat would mend."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from grpc import StatusCode

from orderintake.streams.progress import Outage

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake.errors import OrderIntakeError

FIRST_SECONDS = 0.1
MOST_SECONDS = 2.0
"""How long to wait before a call is repeated: at first, and at most."""
MOST_ASKED_SECONDS = 5.0
"""The same, where the server asks for more: signs of life must not become too rare."""

_FINAL = frozenset(
    {
        *(StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED),
        *(StatusCode.UNIMPLEMENTED, StatusCode.INVALID_ARGUMENT),
    }
)


class NoToken(Exception):
    """The function for tokens failed; the text tells how."""


def is_final(error: Exception) -> bool:
    """Tell whether a server answered that it will not do this, whoever repeats it."""
    return getattr(error, "code", None) in _FINAL


def is_bad(error: OrderIntakeError | NoToken) -> bool:
    """Tell whether a server answered that something in the request is no good."""
    return getattr(error, "code", None) is StatusCode.INVALID_ARGUMENT


class Repeats:
    """How long to wait before calls of one kind are repeated; tells the log of an outage."""

    def __init__(self, what: str, *, jitter: Callable[[], float] = random.random) -> None:
        """Begin without a failure. The log calls it `what`; `jitter` gives numbers from 0 to 1."""
        self._jitter = jitter
        self._outage = Outage(what, time.monotonic)
        self._is_announced = False

    def announced(self) -> None:
        """Note that the server said that it stops: what fails next is no surprise."""
        self._is_announced = True

    def pause(self, failures: int, error: OrderIntakeError | NoToken) -> float:
        """Tell how many seconds to wait after a call has failed so often, from 1 on."""
        asked = min(getattr(error, "retry_after", None) or 0.0, MOST_ASKED_SECONDS)
        longest: float = FIRST_SECONDS * 2 ** min(failures - 1, 10)
        pause = max(asked, (0.5 + self._jitter() / 2) * min(longest, MOST_SECONDS))
        self._outage.begin(pause, error, announced=self._is_announced)
        return pause

    def succeeded(self) -> None:
        """Note that a call was answered."""
        self._is_announced = False
        self._outage.end()
