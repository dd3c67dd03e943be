"""The life of one subscription to completions: what to ask, what to believe, when to come back."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from grpc import StatusCode

from orderintake.errors import (
    CompletionGap,
    ContractBroken,
    DeadlineExceeded,
    OrderIntakeError,
    Unavailable,
)
from orderintake.progress import Progress
from orderintake.status import Status
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

RESUMABLE = frozenset(
    {
        StatusCode.UNAVAILABLE,  # the server stops, restarts, or cannot be reached
        StatusCode.ABORTED,  # the server gave this stream up, not the subscription
        StatusCode.CANCELLED,  # somebody on the way cut the stream
        StatusCode.DEADLINE_EXCEEDED,  # likewise: the client sets a stream no deadline
    }
)
"""The codes after which the same subscription may well succeed; all others are final."""

ATTEMPTS = 5
"""How often a subscription that never stood is tried."""

SILENT_HEARTBEATS = 2
"""For how many heartbeat intervals a stream may be silent before it is taken for dead."""

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

_log = logging.getLogger("orderintake")


@dataclass(frozen=True, slots=True)
class Batch:
    """Completions that came together, at least one, and the place behind them.

    `after` this cursor nothing of the batch is repeated and nothing behind it missed.
    """

    completions: tuple[Completion, ...]
    cursor: str


class Subscription:
    """What is known of one subscription, whatever carries it.

    Its owner begins it, waits for `pause` seconds, opens a stream with `request()`, and reports
    each message of it to `received()` and its loss to `lost()`; both raise what the subscriber has
    to know. Once it `stands`, and while there is something to `take()`, that is handed out first.

    Attributes:
        stands: the server has said SIGNAL_STARTED once: from here on nothing can be missed.
        ended: the subscriber has left, or was told why it cannot go on.
        pause: how many seconds to wait before the next stream is opened.
        progress: how far the subscriber has come.
    """

    def __init__(
        self,
        request: StreamCompletionsRequest,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Subscribe as `request` says, to stand within `timeout` seconds of `begin()` or fail.

        `clock` counts seconds; `chance` draws from 0 to 1.
        """
        self.stands = self.ended = False
        self.pause = 0.0
        self._asked = request
        self._received_cursor = request.after_cursor
        self._is_filtered = bool(request.customer_id or request.tier)
        self._timeout, self._clock, self._chance = timeout, clock, chance
        self._deadline: float | None = None
        self._failures = 0
        self._obstacle: Unavailable | None = None
        self._started = self._going_away = False
        self._sequence: int | None = None
        self._waiting: deque[Completion] = deque()
        self.progress = Progress(request.after_cursor, clock=clock)

    @property
    def cursor(self) -> str:
        """The place behind what was handed out, and behind all that had nothing to hand out."""
        return self.progress.cursor

    def go_on(self, cursor: str) -> None:
        """Begin behind a cursor that was stored, wherever else it was to begin."""
        self._asked.after_cursor = self._received_cursor = cursor
        self.progress.passed(cursor)
        self.progress.stored(cursor)

    def begin(self) -> None:
        """Start the time in which the subscription has to stand.

        Raises:
            RuntimeError: it was begun before.
        """
        if self._deadline is not None:
            raise RuntimeError("a subscription is entered once; ask the client for another one")
        self._deadline = self._clock() + self._timeout

    def request(self) -> StreamCompletionsRequest:
        """Return what to ask of the stream that is opened now."""
        self._started = self._going_away = False
        if not self.stands:
            return self._asked
        request = StreamCompletionsRequest()
        request.CopyFrom(self._asked)
        request.after_cursor = self._received_cursor
        return request

    def patience(self) -> float:
        """Return for how many seconds the stream may be silent from now on."""
        interval = self._asked.heartbeat_interval
        seconds = (interval.seconds + interval.nanos / 1e9) or 5.0
        silence = SILENT_HEARTBEATS * min(max(seconds, 1.0), 60.0)  # as the server clamps it
        return silence if self.stands else min(silence, self._time_left())

    def _time_left(self) -> float:
        """Return for how many seconds more the subscription may fail to stand."""
        return 0.0 if self._deadline is None else max(0.0, self._deadline - self._clock())

    def received(self, response: StreamCompletionsResponse | None) -> None:
        """Believe one message of the stream; None is its end without an error.

        Raises:
            CompletionGap: its completions do not follow on those before.
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
            self._follow(completion.sequence)
        self._started = self.stands = True
        self._going_away = response.signal == SIGNAL_GOING_AWAY
        if response.completions or response.signal == SIGNAL_HEARTBEAT:
            self._failures = 0
        self._waiting.extend(response.completions)
        self._received_cursor = response.cursor
        if not self._waiting:
            self.progress.passed(response.cursor)

    def _follow(self, sequence: int) -> None:
        """Believe the next sequence; a filter leaves some out, and still they grow."""
        if self._sequence is not None:
            expected = self._sequence + 1
            if sequence < expected or (sequence > expected and not self._is_filtered):
                self._end(CompletionGap(expected, sequence))
        self._sequence = sequence

    def lost(self, error: OrderIntakeError | None = None) -> None:
        """Prepare to come back after a stream that failed, fell silent or just ended (None).

        Raises:
            OrderIntakeError: this very error, after which coming back is no use.
            Unavailable: the subscription never stood: the last obstacle met.
            DeadlineExceeded: likewise, and no obstacle is known.
        """
        if self.ended:
            return
        self._failures += 1
        if error is not None and error.code not in RESUMABLE:
            self._end(error)
        if not self.stands:
            self._despair(error)
        longest = FIRST_PAUSE_SECONDS * 2 ** min(self._failures - 1, 10)
        self.pause = self._chance() * min(longest, LONGEST_PAUSE_SECONDS)
        if self.stands:
            level = logging.INFO if self._going_away else logging.WARNING
            cause = error or "it fell silent, or ended without a word"
            _log.log(level, "completion stream lost, back in %.2f s: %s", self.pause, cause)

    def _despair(self, error: OrderIntakeError | None) -> None:
        """Give up a subscription that cannot get to stand."""
        if isinstance(error, Unavailable):
            self._obstacle = error
        if self._failures >= ATTEMPTS or not self._time_left():
            late = Status(code=StatusCode.DEADLINE_EXCEEDED, message="the stream did not begin")
            self._end(self._obstacle or DeadlineExceeded(late))

    def take(self) -> Completion | None:
        """Hand out the next completion, and move `cursor` behind it; None if there is none now.

        Raises:
            RuntimeError: the subscription does not stand yet.
        """
        self._refuse_outside()
        if not self._waiting:
            return None
        completion = self._waiting.popleft()
        self.progress.handed_out(completion.cursor if self._waiting else self._received_cursor)
        return completion

    def take_batch(self) -> Batch | None:
        """Hand out all that is there, and move `cursor` behind it; None if there is nothing now.

        Raises:
            RuntimeError: the subscription does not stand yet.
        """
        self._refuse_outside()
        if not self._waiting:
            return None
        batch = Batch(tuple(self._waiting), self._received_cursor)
        self._waiting.clear()
        self.progress.handed_out(batch.cursor)
        return batch

    def _refuse_outside(self) -> None:
        if not self.stands:
            raise RuntimeError("a subscription is iterated inside its `with` block only")

    def end(self) -> None:
        """End the subscription: its subscriber has left."""
        self.ended = True

    def _end(self, error: OrderIntakeError) -> NoReturn:
        self.end()
        raise error


def _broken(message: str) -> ContractBroken:
    return ContractBroken(Status(code=StatusCode.INTERNAL, message=message))
