"""What a handler is given, and what it may raise to say more than that it failed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from google.protobuf import any_pb2

    from orderintake.v1 import order_pb2

LONGEST_DELAY_SECONDS = 3_155_760_000
"""A hundred years: no attempt is made later."""


class StopSignal:
    """Tells one attempt that its order was cancelled; may be asked from any thread."""

    __slots__ = ("is_requested", "on_request")

    def __init__(self) -> None:
        """Begin without a request."""
        self.is_requested = False
        """Whether somebody asked."""
        self.on_request: Callable[[], object] | None = None

    def request(self) -> None:
        """Ask; the second time changes nothing."""
        if not self.is_requested:
            self.is_requested = True
            if self.on_request is not None:
                self.on_request()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAttempt:
    """An order in a handler's hands: what its caller placed, and which attempt this is."""

    order_id: str
    customer_id: str
    tier: order_pb2.Tier.ValueType
    lines: Sequence[order_pb2.OrderLine]
    labels: Mapping[str, str]
    payload: any_pb2.Any | None
    """The caller's own typed order, if it sent one: `payload.Unpack(message)` opens it."""
    accept_time: datetime
    attempt: int
    """1 at first; more after one that failed or crashed, of which some may have been done."""
    not_before: datetime | None = None
    """The time that the order had to wait for, if its caller named one."""
    expire_time: datetime | None = None
    """The time after which no attempt begins any more, if its caller named one."""
    redrive_of: str = ""
    """The order_id of the order that this one repeats; empty for an order placed by itself."""
    traceparent: str = ""
    """The trace in which the order was placed, as W3C's traceparent; empty when there is none."""
    deadline: datetime | None = None
    """When this attempt is stopped, by the time-out of attempts; None: never."""
    resources: Any = None
    """What the lifespan gave when it began: a pool of connections, say; None without one."""
    ends: float | None = field(default=None, repr=False, compare=False)
    """The deadline by `time.monotonic()`."""
    signal: StopSignal = field(repr=False)
    _rest: Callable[[], Mapping[str, Any]] | None = field(
        default=None, init=False, repr=False, compare=False
    )
    """Gives the fields that are not there yet, see `attempt_of`."""

    if not TYPE_CHECKING:  # or every name would be one of a field

        def __getattr__(self, name: str) -> object:
            """Fill in the fields that are not there yet."""
            if name == "_rest" or name not in self.__dataclass_fields__:
                raise AttributeError(name=name, obj=self)
            _set(self, self._rest())
            return object.__getattribute__(self, name)

    @property
    def cancel_requested(self) -> bool:
        """Whether the order was cancelled meanwhile.

        A sync handler may look now and then, and raise; an async one is cancelled by itself.
        """
        return self.signal.is_requested

    @property
    def seconds_left(self) -> float | None:
        """How long this attempt may still take, 0 when its time is over; None: any time."""
        return None if self.ends is None else max(0.0, self.ends - time.monotonic())


def attempt_of(rest: Callable[[], Mapping[str, Any]], **known: Any) -> OrderAttempt:  # noqa: ANN401
    """Make an attempt of the fields that are known; `rest` gives the others at the first look.

    Many a handler looks at few of them, and each takes its time to be made. What `rest` raises, the
    look raises.
    """
    attempt = OrderAttempt.__new__(OrderAttempt)
    _set(attempt, known)
    _set_field(attempt, "_rest", rest)
    return attempt


def content_of(order: order_pb2.Order) -> dict[str, Any]:
    """Give the fields of an attempt that the caller of the order placed."""
    return {
        "tier": order.tier,
        "lines": order.lines,
        "labels": order.labels,
        "payload": order.payload if order.HasField("payload") else None,
    }


def begin(attempt: OrderAttempt, seconds: float) -> None:
    """Note that the handler is called now, and how long it may take."""
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    _set(attempt, {"deadline": deadline, "ends": time.monotonic() + seconds})


_set_field = object.__setattr__
"""An attempt is frozen for handlers."""


def _set(attempt: OrderAttempt, fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        _set_field(attempt, name, value)


class Reject(Exception):
    """Raised by a handler: the order has failed, and no further attempt would help."""

    def __init__(self, code: str, message: str) -> None:
        """Fail the order with this code, for programs, and message, for people.

        Of the code 64 characters are kept, of the message 1024.
        """
        super().__init__(message)
        self.code = code


class Retry(Exception):
    """Raised by a handler: try again after so long; it counts as an attempt."""

    def __init__(self, *, after: float, code: str = "", text: str = "") -> None:
        """Try again in `after` seconds, from 0 to a hundred years of them.

        When it was the last attempt, the order has failed with `code`, for programs, and `text`,
        for people. Raises ValueError when `after` is no such number.
        """
        if not 0 <= after <= LONGEST_DELAY_SECONDS:
            raise ValueError(f"after is {after}; it must be 0 to {LONGEST_DELAY_SECONDS} seconds")
        super().__init__(text or f"the handler asked for another attempt after {after} s")
        self.after = after
        self.code = code
