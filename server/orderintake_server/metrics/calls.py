"""The calls of each method: how many there are, how they end, and how long they take."""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from orderintake_server.errors import (
    Draining,
    InvalidOrder,
    Problem,
    Reason,
    SubscriberTooSlow,
    Unauthenticated,
)
from orderintake_server.metrics.counts import Histogram, counts
from orderintake_server.metrics.table import CALL_SECONDS

if TYPE_CHECKING:
    from orderintake_server.metrics.counts import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What is measured of a method's calls; their number and their codes always are."""

    is_timed: bool = False
    """How long each takes: of unary calls only, for a stream lasts as long as its reader likes."""
    waits: bool = False
    """Whether a unary call may wait long: it ends when its caller leaves."""
    tells_end: bool = False
    """Why each ended: of completion streams."""


CALL = Meter(is_timed=True)
WAITING = Meter(is_timed=True, waits=True)
SUBSCRIPTION = Meter(tells_end=True)
PLACING = Meter()
WATCH = Meter()

_ENDS: dict[type[BaseException], str] = {
    CancelledError: "client",
    Draining: "draining",
    SubscriberTooSlow: "too_slow",
    Unauthenticated: "unauthenticated",
}
_ERROR = "error"
"""A stream ended by anything else: also one that was refused before it began."""


class MethodCalls:
    """The calls of one method."""

    __slots__ = ("_ends", "codes", "in_flight", "seconds")

    def __init__(self, meter: Meter, ends: Counts) -> None:
        """Measure what `meter` says; count in `ends` why streams ended."""
        self._ends = ends if meter.tells_end else None
        self.codes: Counter[str] = Counter()
        self.in_flight = 0
        self.seconds = Histogram(CALL_SECONDS) if meter.is_timed else None

    def begin(self) -> float:
        """Count a call that begins; return what `end` wants to know."""
        self.in_flight += 1
        return perf_counter()

    def end(self, began: float, code: str) -> float:
        """Count a call that ends with this status code; return how many seconds it took."""
        self.in_flight -= 1
        self.codes[code] += 1
        seconds = perf_counter() - began
        if self.seconds is not None:
            self.seconds.add(seconds)
        return seconds

    def failed(self, error: BaseException) -> None:
        """Count why a stream ends."""
        if self._ends is not None:
            self._ends[(_ENDS.get(type(error), _ERROR),)] += 1


class Calls:
    """The calls of all methods, by every transport."""

    def __init__(self) -> None:
        """Begin without a method."""
        self.methods: dict[str, MethodCalls] = {}
        self.refusals = counts([reason.value for reason in Reason])
        self.authentication_failures = counts([problem.name for problem in Problem])
        self.malformed = 0
        self.ends = counts([*_ENDS.values(), _ERROR])

    def of(self, method: str, meter: Meter) -> MethodCalls:
        """Return the calls of a method, which all transports that serve it count together."""
        if method not in self.methods:
            self.methods[method] = MethodCalls(meter, self.ends)
        return self.methods[method]

    def refused(self, reason: Reason, error: BaseException) -> None:
        """Count a call that is refused for this reason, because of this error."""
        self.refusals[(reason.value,)] += 1
        if isinstance(error, Unauthenticated):
            self.not_known(error)
        elif isinstance(error, InvalidOrder):
            self.malformed += error.is_malformed

    def not_known(self, error: Unauthenticated) -> None:
        """Count a request whose caller is not known."""
        self.authentication_failures[(error.problem.name,)] += 1
