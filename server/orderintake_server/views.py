"""What callers may ask for, and what they get: filters, pages, estimates, counts, deliveries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from orderintake_server.domain import State, Tier
from orderintake_server.errors import NotAllowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.domain import (
        Action,
        Completion,
        Durability,
        Operator,
        Order,
        WaitEstimate,
    )

_T = TypeVar("_T")

NEVER = 2**63 - 1
"""Later than any time: a store's integers end here."""


class WaitReason(IntEnum):
    """Why an order waits; numbered as in the contract."""

    ORDERS_AHEAD = 1
    SCHEDULED = 2
    RETRY = 3
    TIER_PAUSED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders to list: those that match every field that is set."""

    customer_id: str | None = None
    tier: Tier | None = None
    state: State | None = None

    def within(self, owner: str | None) -> OrderFilter:
        """Return the filter for those of the `owner`'s orders that match; None: of everybody's.

        Raises NotAllowed when it is for another customer's.
        """
        if owner is None:
            return self
        if self.customer_id not in (None, owner):
            raise NotAllowed("the orders are another customer's", needs="customer")
        return replace(self, customer_id=owner)

    def wants(self, order: Order) -> bool:
        """Whether an order matches in its present state."""
        return self.covers(order.customer_id, order.tier) and self.state in (None, order.state)

    def covers(self, customer_id: str, tier: Tier) -> bool:
        """Whether orders of this customer and tier match in at least one state."""
        return self.customer_id in (None, customer_id) and self.tier in (None, tier)


EVERY_ORDER = OrderFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Of which orders many are listed or changed at once: those that match every field that is set.

    Among failures, an order's time is when it ended; among those that wait, when it was accepted.
    """

    customer_id: str | None = None
    tier: Tier | None = None
    since: int = 0
    """Its time is this or later, in microseconds since 1970."""
    until: int = NEVER
    """And earlier than this."""
    codes: tuple[str, ...] = ()
    """Its failure has one of these codes; none: any."""
    numbers: tuple[int, ...] | None = None
    """Its accept sequence is one of these."""
    has_labels: Callable[[bytes], bool] | None = None
    """Tells of an order's content whether it has the wanted labels; it is called in any thread."""
    is_redriven_too: bool = False
    """Whether failures count that were redriven."""


class FailedOrder(NamedTuple):
    """How an order failed, and the accept sequence of the copy that redrove it, 0 if none did."""

    completion: Completion
    copy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCounts:
    """How many failures match, by code, as far as they were counted."""

    counts: dict[str, int]
    is_partial: bool
    """Whether there are older failures than were counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkDone:
    """What one call did to many orders: so many, of which `last` came last."""

    action: Action
    count: int
    last: int
    """Its accept sequence; of a copy, that of the original."""
    until: int
    """Where the call's list ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage(Generic[_T]):
    """A page of the log: its completions, up to which sequence it goes, and whether more follow."""

    completions: list[_T]
    end: int
    goes_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAction:
    """What an operator did, as recorded in the commit that did it; numbered by `sequence`."""

    sequence: int
    time: int
    """In microseconds since 1970."""
    action: Action
    by: Operator
    tier: Tier | None = None
    """The tier that was paused or resumed."""
    accept_sequence: int | None = None
    """The order that was cancelled, or of which a copy was placed."""
    detail: str = "{}"
    """What else there is to say, as a JSON object: `copy`, the accept sequence of the copy that was
    placed; `outcome`, the CancelOutcome of a cancel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeen:
    """A server that uses the store, as its store knows it. Times are microseconds since 1970."""

    name: str
    workers: int
    busy: int
    """How many orders it has in process."""
    since: int
    heard: int
    is_alive: bool
    is_own: bool
    """Whether it is the server that looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCondition:
    """How a store is doing, and the servers that share it, the oldest first."""

    engine: str
    durability: Durability
    size_bytes: int
    servers: tuple[ServerSeen, ...] = ()
    """None: only one server uses it, the one that looks."""


class Transport(IntEnum):
    """By which protocol a call came; numbered as in the contract."""

    GRPC = 1
    CONNECT = 2
    EVENTS = 3


class Reader(NamedTuple):
    """Who reads a completion stream, from where and how, since when (microseconds since 1970)."""

    caller: str
    peer: str
    transport: Transport
    since: int


class StartAt(Enum):
    """A position in the completion log that has a name."""

    EARLIEST = "before the first completion that is still there"
    LATEST = "after the newest completion"


ReadFrom = int | StartAt
"""After the completion with this sequence, or at a named position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Which completions a subscriber wants, from where on, and at most how many in a message."""

    wanted: OrderFilter
    start: ReadFrom
    limit: int
    heartbeat_seconds: float
    reader: Reader | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatus:
    """An order's state; while it waits, also its position in the queue, how long and why.

    `found` is the order, or its completion once it ended.
    """

    found: Order | Completion
    position: int = 0
    wait: WaitEstimate | None = None
    reason: WaitReason | None = None


def wait_reason(order: Order, *, is_paused: bool) -> WaitReason | None:
    """Return why an order waits, None when it does not."""
    if order.state is State.SCHEDULED:
        return WaitReason.RETRY if order.attempt_count else WaitReason.SCHEDULED
    if order.state is State.QUEUED:
        return WaitReason.TIER_PAUSED if is_paused else WaitReason.ORDERS_AHEAD
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TierCounts:
    """How many orders of one tier are in each state in which orders have not ended."""

    queued: int = 0
    scheduled: int = 0
    processing: int = 0


CountsByTier = dict[Tier, TierCounts]


@dataclass(frozen=True, slots=True, kw_only=True)
class TierStats:
    """The counts, rates and pause of one tier; rates are per second."""

    counts: TierCounts
    accept_rate: float
    completion_rate: float
    is_paused: bool


class Signal(Enum):
    """What a delivery says beyond its completions: the contract's Signal, with the same names."""

    UNSPECIFIED = 0
    STARTED = 1
    CAUGHT_UP = 2
    FELL_BEHIND = 3
    HEARTBEAT = 4
    GOING_AWAY = 5


class Delivery(NamedTuple):
    """One message to a subscriber; with it, all it wants up to `position` has been sent."""

    signal: Signal
    position: int
    head: int
    completions: bytes
    """The encoded completions, one after the other."""
