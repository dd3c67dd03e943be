"""What a commit is asked to change, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orderintake_server.domain import (
        Cancelled,
        Ending,
        Lease,
        NewOrder,
        QueueEntry,
        Receipt,
        State,
        Tier,
    )
    from orderintake_server.errors import RequestIdReused
    from orderintake_server.views import CountsByTier


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What came of the attempt that `lease` stands for."""

    lease: Lease
    ending: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many more orders may wait, and how many more if they are regular ones."""

    total: int
    regular: int
    per_customer: int | None = None
    """How many orders of one customer may wait in all; None: as many as it likes."""
    waiting: int | None = None
    """How many waited when this was said, so that it holds however many do when it is gone by."""

    def spare(self, waiting: int) -> int:
        """Tell how much more room there is than was said, if so many wait now."""
        return 0 if self.waiting is None else self.waiting - waiting


@dataclass(frozen=True, slots=True)
class OverCapacity:
    """A group was refused because it would have made more orders wait than may."""

    orders: int
    customer_id: str | None = None
    """The customer of which as many wait as may; None: of all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The `limit` most urgent orders behind `after` are asked for too, of tiers not paused."""

    after: QueueEntry
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNext:
    """The `most` most urgent orders there are shall start, of tiers not paused.

    One during whose attempts the process died `alone` times starts only where nothing else is in
    process (`is_idle`), and then alone; nothing starts past it.
    """

    most: int
    is_idle: bool
    alone: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """At most `limit` of the oldest completions are to be forgotten, with their orders.

    Only those that ended before `completed_before`; and as many request_ids of orders forgotten
    already, that ended before `requests_before` (None: none). Microseconds since 1970.
    """

    completed_before: int
    requests_before: int | None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be made durable together, in this order of effect.

    Before all of it, what is due is done: scheduled orders whose time has come are queued, waiting
    orders whose time is over expire.
    """

    settles: Sequence[Settlement] = ()
    releases: Sequence[Lease] = ()
    cancels: Sequence[int] = ()
    """Accept sequences of orders to be cancelled."""
    pauses: Mapping[Tier, bool] = field(default_factory=dict)
    """Tiers to be paused (True) or resumed."""
    accepts: Sequence[Sequence[NewOrder]] = ()
    """Groups of orders; each group is accepted as a whole or not at all."""
    capacity: Capacity = Capacity(total=0, regular=0)
    claims: Sequence[QueueEntry] = ()
    """The orders that start now, in the order of their start."""
    claim_next: ClaimNext | None = None
    """Or those that the store finds most urgent."""
    page: Page | None = None
    prune: Prune | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """How the store stands, and what has happened since it was told the last time.

    Where other processes use the store too, that is theirs as well.
    """

    counts: CountsByTier
    accept_counts: Mapping[Tier, int]
    """How many orders of each tier were accepted."""
    completion_counts: Mapping[Tier, int]
    """How many orders of each tier ended."""
    start_count: int = 0
    """How many attempts began."""
    paused: frozenset[Tier] = frozenset()
    next_due: int | None = None
    """When the next waiting order falls due or expires; more may be due already."""
    head: int
    """The sequence of the newest completion."""
    earliest: int
    """The sequence of the newest completion that was forgotten, 0 if none was."""
    to_stop: Sequence[int] = ()
    """Orders in process here that somebody else asked to cancel: their accept sequences."""
    workers: int | None = None
    """How many workers all that use the store have; None: those of this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed(StoreState):
    """What became of the Changes, each list in their order; and how the store stands then."""

    settled: list[State | None] = field(default_factory=list)
    """Where the order stands now; None: the lease was no longer good, nothing was changed."""
    released: list[State | None] = field(default_factory=list)
    """As above."""
    cancelled: list[Cancelled | None] = field(default_factory=list)
    """None: there is no such order."""
    accepted: list[tuple[Receipt, ...] | RequestIdReused | OverCapacity] = field(
        default_factory=list
    )
    claimed: list[Lease | None] = field(default_factory=list)
    """None: the order waits no longer, there is nothing to start."""
    claimed_next: list[Lease] = field(default_factory=list)
    """What started because of `claim_next`, most urgent first."""
    queued: list[QueueEntry] = field(default_factory=list)
    """All that was queued by this commit: new, given back, fallen due. A store that other processes
    use too does not tell: nobody who knows it knows all that waits."""
    page: list[QueueEntry] = field(default_factory=list)
    pruned: int = 0
    """How much was forgotten; as much as the limit: there may be more."""
