"""When a stream that was lost is opened again, and with which token."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from grpc import StatusCode

from orderintake.errors import DeadlineExceeded, TooManyStreams, Unavailable
from orderintake.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake.errors import OrderIntakeError

RESUMABLE = frozenset(
    {
        StatusCode.UNAVAILABLE,  # the server stops, restarts, or cannot be reached
        StatusCode.ABORTED,  # the server ended this stream; it serves a new one
        StatusCode.CANCELLED,  # a proxy or the server cut the stream
        StatusCode.DEADLINE_EXCEEDED,  # a proxy's, for the client sets a stream none
    }
)
"""The codes after which the stream is opened again; any other ends what goes on it."""

ATTEMPTS = 5
"""How often a stream is opened that was never established."""

FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 5.0
"""How long to wait before a stream is opened again: at first, and at most."""


class Comeback:
    """The state of a stream that is opened again when it is lost, without input or output.

    Attributes:
        established: the server has sent SIGNAL_STARTED once.
        ended: whoever uses it has left, or an error was raised to it.
        backoff: how many seconds to wait before the next stream is opened.
    """

    def __init__(
        self,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Fail if not established within `timeout` of `begin()`.

        `timeout` and `clock` are in seconds. `jitter` returns a number from 0 to 1, by which each
        backoff is multiplied.
        """
        self.established = self.ended = False
        self.backoff = 0.0
        self._timeout, self._clock, self._jitter = timeout, clock, jitter
        self._deadline: float | None = None
        self._failures = 0
        self._last_unavailable: Unavailable | None = None
        self._is_renewed = False

    def begin(self) -> None:
        """Start the time within which the stream must be established.

        Raises:
            RuntimeError: it was called before.
        """
        if self._deadline is not None:
            raise RuntimeError("what the client returned is entered once; ask it for another one")
        self._deadline = self._clock() + self._timeout

    def goes_on_renewed(self) -> bool:
        """Prepare to reconnect with another token, for the one that was shown has expired.

        False if one was renewed for that before, and has not been accepted since, or if it ended
        meanwhile.
        """
        if self._is_renewed or self.ended:
            return False
        self._is_renewed = True
        self._failures += 1
        self.backoff = 0.0 if self._failures == 1 else self._pause()
        return True

    def _time_left(self) -> float:
        """Return how many seconds are left to establish the stream."""
        return 0.0 if self._deadline is None else max(0.0, self._deadline - self._clock())

    def _pause(self, error: OrderIntakeError | None = None) -> float:
        """Return how long to wait after this failure."""
        longest: float = FIRST_BACKOFF_SECONDS * 2 ** min(self._failures - 1, 10)
        asked = error.retry_after or 0.0 if isinstance(error, TooManyStreams) else 0.0
        return self._jitter() * min(longest, MAX_BACKOFF_SECONDS) + asked

    def _is_passing(self, error: OrderIntakeError) -> bool:
        """Tell whether the stream is opened again; who begins is told that there is no room."""
        if isinstance(error, TooManyStreams):
            return self.established
        return error.code in RESUMABLE

    def _given_up(self, error: OrderIntakeError | None) -> OrderIntakeError | None:
        """Return the error of a stream that was not established in time, or in five attempts."""
        if isinstance(error, Unavailable):
            self._last_unavailable = error
        if self._failures < ATTEMPTS and self._time_left():
            return None
        late = Status(code=StatusCode.DEADLINE_EXCEEDED, message="the stream did not begin")
        return self._last_unavailable or DeadlineExceeded(late)
