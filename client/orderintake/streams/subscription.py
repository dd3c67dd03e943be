"""One subscription to completions: what to request, what to accept, when to reconnect."""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from grpc import StatusCode

from orderintake.errors import CompletionGap, ContractBroken, OrderIntakeError
from orderintake.status import Status
from orderintake.streams.comeback import Comeback
from orderintake.streams.progress import Outage, Progress
from orderintake.v1.order_intake_service_pb2 import (
    SIGNAL_GOING_AWAY,
    SIGNAL_HEARTBEAT,
    SIGNAL_STARTED,
    StreamCompletionsRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake.v1.order_intake_service_pb2 import StreamCompletionsResponse
    from orderintake.v1.order_pb2 import Completion

SILENT_HEARTBEATS = 2
"""For how many heartbeat intervals a stream may be silent before it counts as lost."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Completions that came together, at least one, and the cursor after the last of them.

    A subscription `after` this cursor repeats none of the batch and misses none that follows.
    """

    completions: tuple[Completion, ...]
    cursor: str


class Subscription(Comeback):
    """The state of one subscription, without input or output.

    The owner calls `begin()`, waits for `backoff` seconds, opens a stream with `request()`, and
    passes each message to `received()` and the loss of the stream to `lost()`; both raise an error
    that the subscriber must see. Once the subscription is `established`, the owner delivers what
    `next_completion()` or `next_batch()` returns before it reads another message.

    Attributes:
        established: the server has sent SIGNAL_STARTED once; no later completion can be missed.
        ended: the subscriber has left, or an error was raised to it.
        backoff: how many seconds to wait before the next stream is opened.
        progress: how far the subscriber has come.
    """

    def __init__(
        self,
        request: StreamCompletionsRequest,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        silent_heartbeats: float = SILENT_HEARTBEATS,
    ) -> None:
        """Subscribe as `request` says; fail if not established within `timeout` of `begin()`.

        `timeout` and `clock` are in seconds. `jitter` returns a number from 0 to 1, by which each
        backoff is multiplied.
        """
        super().__init__(timeout=timeout, clock=clock, jitter=jitter)
        self._request = request
        self._received_cursor = request.after_cursor
        self._is_filtered = bool(request.customer_id or request.tier)
        self._silent_heartbeats = silent_heartbeats
        self._outage = Outage("completion stream", clock)
        self._started = self._going_away = False
        self._sequence: int | None = None
        self._undelivered: deque[Completion] = deque()
        self.progress = Progress(request.after_cursor, clock=clock)

    @property
    def cursor(self) -> str:
        """The cursor after what was delivered, and after all that held nothing to deliver."""
        return self.progress.cursor

    def resume_from(self, cursor: str) -> None:
        """Begin after a cursor that was saved earlier, whatever the request says."""
        self._request.after_cursor = self._received_cursor = cursor
        self.progress.advance(cursor)
        self.progress.saved(cursor)

    def request(self) -> StreamCompletionsRequest:
        """Return the request for the stream that is opened now."""
        self._started = self._going_away = False
        if not self.established:
            return self._request
        request = StreamCompletionsRequest()
        request.CopyFrom(self._request)
        request.after_cursor = self._received_cursor
        return request

    def silence_limit(self) -> float:
        """Return for how many seconds from now the stream may be silent."""
        interval = self._request.heartbeat_interval
        seconds = (interval.seconds + interval.nanos / 1e9) or 5.0
        silence = self._silent_heartbeats * min(max(seconds, 1.0), 60.0)  # as the server clamps it
        return silence if self.established else min(silence, self._time_left())

    def received(self, response: StreamCompletionsResponse | None) -> None:
        """Accept one message of the stream; None means that it ended without an error.

        Raises:
            CompletionGap: a sequence number is missing or repeated.
            ContractBroken: the stream did not begin with SIGNAL_STARTED, or has no cursor.
            OrderIntakeError: as `lost()` does.
        """
        if response is None:
            self.lost()
            return
        if not self._started and response.signal != SIGNAL_STARTED:
            self._end(_broken("a completion stream did not begin with SIGNAL_STARTED"))
        if not response.cursor:
            self._end(_broken("a message of a completion stream has no cursor"))
        for completion in response.completions:
            self._check_sequence(completion.sequence)
        self._outage.end()
        self._started = self.established = True
        self._is_renewed = False
        self._going_away = response.signal == SIGNAL_GOING_AWAY
        if response.completions or response.signal == SIGNAL_HEARTBEAT:
            self._failures = 0
        self._undelivered.extend(response.completions)
        self._received_cursor = response.cursor
        if not self._undelivered:
            self.progress.advance(response.cursor)

    def _check_sequence(self, sequence: int) -> None:
        """Accept the next sequence number; with a filter some are missing, but they still grow."""
        if self._sequence is not None:
            expected = self._sequence + 1
            if sequence < expected or (sequence > expected and not self._is_filtered):
                self._end(CompletionGap(expected, sequence))
        self._sequence = sequence

    def lost(self, error: OrderIntakeError | None = None) -> None:
        """Prepare to reconnect after a stream that failed, or (None) ended or was silent too long.

        Raises:
            OrderIntakeError: the error that was passed, if its code is not one of RESUMABLE; but
                TooManyStreams only before the subscription was established.
            Unavailable: it was never established; this is the last such error met.
            DeadlineExceeded: it was never established, and no Unavailable was met.
        """
        if self.ended:
            return
        self._failures += 1
        if error is not None and not self._is_passing(error):
            self._end(error)
        if not self.established and (given_up := self._given_up(error)):
            self._end(given_up)
        self.backoff = self._pause(error)
        if self.established:
            self._outage.begin(self.backoff, error, announced=self._going_away)

    def next_completion(self) -> Completion | None:
        """Deliver the next completion and move `cursor` after it; None if there is none now.

        Raises:
            RuntimeError: the subscription is not established yet.
        """
        self._check_established()
        if not self._undelivered:
            return None
        completion = self._undelivered.popleft()
        self.progress.delivered(completion.cursor if self._undelivered else self._received_cursor)
        return completion

    def next_batch(self) -> Batch | None:
        """Deliver all that was received and move `cursor` after it; None if there is none now.

        Raises:
            RuntimeError: the subscription is not established yet.
        """
        self._check_established()
        if not self._undelivered:
            return None
        batch = Batch(tuple(self._undelivered), self._received_cursor)
        self._undelivered.clear()
        self.progress.delivered(batch.cursor)
        return batch

    def _check_established(self) -> None:
        if not self.established:
            raise RuntimeError("a subscription is iterated inside its `with` block only")

    def end(self) -> None:
        """End the subscription, for its subscriber has left."""
        self.ended = True

    def _end(self, error: OrderIntakeError) -> NoReturn:
        self.end()
        raise error


def _broken(message: str) -> ContractBroken:
    return ContractBroken(Status(code=StatusCode.INTERNAL, message=message))
