"""What callers are told, and may ask for: filters, pages, estimates, counts, deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.domain import Tier

if TYPE_CHECKING:
    from orderintake_server.domain import Completion, Order, State, WaitEstimate, WaitReason


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders to list: those for which everything that is set is true."""

    customer_id: str | None = None
    tier: Tier | None = None
    state: State | None = None

    def wants(self, order: Order) -> bool:
        """Tell whether an order is wanted as it stands."""
        return self.covers(order.customer_id, order.tier) and self.state in (None, order.state)

    def covers(self, customer_id: str, tier: Tier) -> bool:
        """Tell whether orders of this customer and tier are wanted, in some state at least."""
        return self.customer_id in (None, customer_id) and self.tier in (None, tier)


EVERY_ORDER = OrderFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Completions, the place in the log where their page ends, and whether more are behind it."""

    completions: list[Completion]
    end: int
    goes_on: bool


class StartAt(Enum):
    """A place in the completion log that has a name."""

    EARLIEST = "before the first completion that is still there"
    LATEST = "behind the newest"


ReadFrom = int | StartAt
"""Behind the completion with this sequence; or one that has a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Which completions a subscriber wants, from where on, how many in a message at the most."""

    wanted: OrderFilter
    start: ReadFrom
    limit: int
    heartbeat_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatus:
    """How an order stands, and if it waits: where in the queue, how long still, and why."""

    found: Order | Completion
    position: int = 0
    wait: WaitEstimate | None = None
    reason: WaitReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TierCounts:
    """How many orders of one tier stand where."""

    queued: int = 0
    scheduled: int = 0
    processing: int = 0


CountsByTier = dict[Tier, TierCounts]


@dataclass(frozen=True, slots=True, kw_only=True)
class TierStats:
    """How one tier stands; rates are per second."""

    counts: TierCounts
    accept_rate: float
    completion_rate: float
    is_paused: bool


class Signal(Enum):
    """What a delivery says beyond its completions: the contract's Signal, by the same names."""

    UNSPECIFIED = 0
    STARTED = 1
    CAUGHT_UP = 2
    FELL_BEHIND = 3
    HEARTBEAT = 4
    GOING_AWAY = 5


class Delivery(NamedTuple):
    """One message to a subscriber, which has now been sent all it wants up to `position`."""

    signal: Signal
    position: int
    head: int
    completions: bytes
    """Encoded, one behind the other."""
