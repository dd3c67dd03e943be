"""The orders of one placing block: what to send, what became of each, when to come back."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from typing import TYPE_CHECKING, Generic

from grpc import StatusCode

from orderintake.errors import DeadlineExceeded, OrderIntakeError, Unavailable
from orderintake.status import Status
from orderintake.streams.comeback import ATTEMPTS, Comeback
from orderintake.streams.placed import F, Result, Waiting, broken, by_number, error_of
from orderintake.streams.progress import OUTAGE_SECONDS, Outage
from orderintake.v1.order_intake_service_pb2 import (
    SIGNAL_GOING_AWAY,
    SIGNAL_STARTED,
    PlaceOrderResponse,
    PlaceOrdersRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orderintake.v1.order_intake_service_pb2 import (
        PlaceOrderRequest,
        PlaceOrdersResponse,
        PlaceOrdersResult,
    )

MOST_ORDERS = 1_000
MOST_BYTES = 256 * 1024
"""What one message holds at the most; one order may be larger by itself."""
LARGEST_BYTES = 3 * 1024**2
"""The largest order that is sent at all, to be refused by the server: no message holds more."""
MOST_WAITING = 10_000
"""Orders without a result, whatever the server allows: they are kept in memory."""
OVERHEAD_BYTES = 8
GOODBYE_SECONDS = 1.0
"""How long the server may take to end a call on which it has given all results."""
FIRST_PAUSE_SECONDS = 0.2
"""Before an order that was refused for now is repeated, where the server does not say; doubled."""

_log = logging.getLogger("orderintake")

_GRPCS_OWN = frozenset({StatusCode.INTERNAL, StatusCode.UNKNOWN})
"""The codes with which gRPC itself ends a call, as where one writes to a call that has ended."""


class Outbox(Comeback, Generic[F]):
    """The orders of one placing block that have no result yet, without input or output.

    The owner calls `begin()`, waits for `backoff` seconds, opens a call and says so by `opened()`.
    It sends what `message()` gives, passes each response to `received()` and the loss of the call
    to `lost()`, and puts the results that both return. What has no result is sent again on the next
    call, in its order, with the same request_id: so each order is accepted once.

    Attributes:
        established: the server has taken a call once.
        ended: nothing more goes on; `error` says why, None: the block was left.
        backoff: how many seconds to wait before the next call is opened.
    """

    def __init__(
        self,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Give up when nothing came of what waits for `timeout` seconds, by `clock`."""
        super().__init__(timeout=timeout, clock=clock, jitter=jitter)
        self.error: Exception | None = None
        self._unsent: deque[Waiting[F]] = deque()
        self._sent: dict[int, Waiting[F]] = {}
        self._placed = self._index = 0
        self._window = 1
        self._held_until = self._heard_at = 0.0
        self._started = self._going_away = self._is_closing = False
        self._told_at: float | None = None
        self._outage = Outage("placing call", clock)

    def __len__(self) -> int:
        """Return how many orders have no result yet."""
        return len(self._unsent) + len(self._sent)

    @property
    def is_full(self) -> bool:
        """Whether no further order can be placed before there is another result."""
        return len(self) >= self._window and not self.ended

    def add(self, request: PlaceOrderRequest, future: F) -> None:
        """Place an order, whose request_id must be set.

        Raises:
            ValueError: it is larger than any message.
            OrderIntakeError: placing has ended with this error.
            RuntimeError: the block was left, or not entered.
        """
        self._check_open()
        size = request.ByteSize()
        if size > LARGEST_BYTES:
            raise ValueError(f"an order of {size} bytes fits into no message")
        if not len(self):
            self._heard_at = self._clock()
        self._unsent.append(Waiting(self._placed, request, size + OVERHEAD_BYTES, future))
        self._placed += 1

    def _check_open(self) -> None:
        if self._is_closing or not (self.established or self.ended):
            raise RuntimeError("orders are placed inside the `with` block only")
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Take no further order; the block is left when there are all results."""
        self._is_closing = True

    @property
    def has_work(self) -> bool:
        """Whether a call is needed."""
        return not self.ended and bool(len(self) or not self.established)

    @property
    def is_over(self) -> bool:
        """Whether no call is needed any more."""
        return self.ended or (self._is_closing and not len(self))

    # One call

    def opened(self) -> None:
        """Begin a call: all that has no result is to be sent on it."""
        self._unsent = deque(self._in_order())
        self._sent.clear()
        self._index = 0
        self._started = self._going_away = False

    def message(self) -> PlaceOrdersRequest | None:
        """Return what to send now, as much as goes together; None if there is nothing."""
        if not self._may_send():
            return None
        message, size = PlaceOrdersRequest(), 0
        while self._unsent and self._has_room(len(message.orders), size):
            waiting = self._unsent.popleft()
            message.orders.append(waiting.request)
            size += waiting.size
            self._sent[self._index] = waiting
            self._index += 1
        return message if message.orders else None

    def _may_send(self) -> bool:
        return self._started and not (self._going_away or self.ended or self.held_seconds())

    def _has_room(self, orders: int, size: int) -> bool:
        """Tell whether the next order fits into a message that has this already."""
        if len(self._sent) >= self._window or orders >= MOST_ORDERS:
            return False
        return not orders or size + self._unsent[0].size <= MOST_BYTES

    def held_seconds(self) -> float:
        """Return for how many seconds nothing is sent, because the server asked for that."""
        return max(0.0, self._held_until - self._clock())

    @property
    def has_sent_all(self) -> bool:
        """Whether nothing more is to be sent on this call, so that this side of it is closed."""
        return self._going_away or self.is_over

    def seconds_left(self) -> float | None:
        """Return how long the server may stay silent from now on; None as long as it likes."""
        if not self.established:
            return self._time_left()
        return max(0.0, self._heard_at + self._timeout - self._clock()) if len(self) else None

    def received(self, response: PlaceOrdersResponse) -> list[Result[F]]:
        """Accept one response; return the results that are final."""
        if not self._started and response.signal != SIGNAL_STARTED:
            return self.fail(broken("a PlaceOrders call did not begin with SIGNAL_STARTED"))
        if response.signal == SIGNAL_STARTED:
            self._start(response.max_unacknowledged)
        self._going_away = self._going_away or response.signal == SIGNAL_GOING_AWAY
        if not response.results:
            return []
        self._failures, self._last_unavailable = 0, None
        self._heard_at = max(self._heard_at, self._clock())
        results: list[Result[F]] = []
        again: list[Waiting[F]] = []
        for result in response.results:
            waiting = self._sent.get(result.index)
            if waiting is None or result.WhichOneof("outcome") is None:
                return results + self.fail(broken("a result is of no order, or is none"))
            del self._sent[result.index]
            outcome = self._outcome(result, waiting)
            if outcome is None:
                again.append(waiting)
            else:
                results.append(Result(waiting.future, outcome))
        if again:
            self._unsent = deque(by_number([*again, *self._unsent]))
        return results

    def _start(self, most: int) -> None:
        self._outage.end()
        self._window = max(1, min(most, MOST_WAITING))
        self._started = self.established = True
        self._is_renewed = False

    def _outcome(
        self, result: PlaceOrdersResult, waiting: Waiting[F]
    ) -> PlaceOrderResponse | Exception | None:
        """Return an order's receipt or error; None: it was refused for now, and is sent again."""
        if result.HasField("receipt"):
            return result.receipt
        error = error_of(result.refusal)
        if not isinstance(error, Unavailable):
            return error
        waiting.refusals += 1
        doubled: float = FIRST_PAUSE_SECONDS * 2 ** (waiting.refusals - 1)
        pause = self._jitter() * doubled if error.retry_after is None else error.retry_after
        if waiting.refusals >= ATTEMPTS or pause > self._timeout:
            return error
        self._tell(pause, error)
        self._held_until = max(self._held_until, self._clock() + pause)
        self._heard_at = max(self._heard_at, self._held_until)
        return None

    def _tell(self, pause: float, error: OrderIntakeError) -> None:
        """Log that orders wait for room: the first time, and once a minute."""
        if self._told_at is None or self._clock() >= self._told_at + OUTAGE_SECONDS:
            self._told_at = self._clock()
            _log.warning("orders are refused for now, and placed again in %.2f s: %s", pause, error)

    def lost(self, error: OrderIntakeError | None = None) -> list[Result[F]]:
        """Prepare to come back after a call that failed, or (None) ended or was silent too long.

        Returns the results if there is no coming back.
        """
        was_announced = self._going_away
        self.opened()
        if self.is_over:
            self.ended = True
            return []
        self._failures += 1
        if error is not None and not self._is_passing(error):
            return self.fail(error)
        given_up = self._given_up(error)
        if given_up is not None:
            return self.fail(given_up)
        self.backoff = self._pause(error)
        if len(self):  # else nobody waits for it to be opened again
            self._outage.begin(self.backoff, error, announced=was_announced)
        return []

    def _is_passing(self, error: OrderIntakeError) -> bool:
        is_grpcs_own = error.code in _GRPCS_OWN and not error.reason
        return super()._is_passing(error) or (self.established and is_grpcs_own)

    def _given_up(self, error: OrderIntakeError | None) -> OrderIntakeError | None:
        """Return the error to end with when nothing came of what waits for too long."""
        if not self.established:
            return super()._given_up(error)
        if isinstance(error, Unavailable):
            self._last_unavailable = error
        if self.seconds_left() != 0.0:
            return None
        late = Status(code=StatusCode.DEADLINE_EXCEEDED, message="no results came")
        return self._last_unavailable or DeadlineExceeded(late)

    def fail(self, error: Exception) -> list[Result[F]]:
        """End with an error; return it as the result of every order that has none."""
        if self.ended:
            return []
        self.ended, self.error = True, error
        results = [Result(waiting.future, error) for waiting in self._in_order()]
        self._unsent.clear()
        self._sent.clear()
        return results

    def _in_order(self) -> Iterator[Waiting[F]]:
        """Give what has no result in the order in which it was placed."""
        return iter(by_number([*self._sent.values(), *self._unsent]))
