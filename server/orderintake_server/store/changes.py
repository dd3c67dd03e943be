"""What a commit changes, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orderintake_server.domain import (
        Cancelled,
        Ending,
        Lease,
        NewOrder,
        Operator,
        QueueEntry,
        Receipt,
        State,
        Tier,
    )
    from orderintake_server.errors import RequestIdReused
    from orderintake_server.holders import Holder, LeaseKey, LentLease
    from orderintake_server.store.work import Work, WorkDone
    from orderintake_server.views import CountsByTier


NEVER_ALONE = 1_000_000
"""More crashes than an order can have."""
MOST_STARTS = 256
"""So many orders start in one commit at the most."""


@dataclass(slots=True, kw_only=True)
class Settlement:
    """How the attempt of `lease` ended."""

    lease: Lease
    ending: Ending


@dataclass(frozen=True, slots=True)
class Cancel:
    """Asks the store to cancel an order. If that changes anything, the operator's is recorded."""

    accept_sequence: int
    by: Operator | None = None
    """The operator who asks; None: it is the order's own customer, and nothing is recorded."""


@dataclass(frozen=True, slots=True)
class CancelWaiting:
    """Asks the store to cancel those of these orders that wait, each recorded as the operator's.

    Those that do not wait any more are not touched.
    """

    accept_sequences: Sequence[int]
    by: Operator


@dataclass(frozen=True, slots=True)
class Pause:
    """Asks the store to pause a tier, or to resume it. If that changes anything, it is recorded."""

    tier: Tier
    is_paused: bool
    by: Operator | None = None
    """The operator who asks; None: nothing is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many more orders may wait in all, and how many more regular ones."""

    total: int
    regular: int
    per_customer: int | None = None
    """How many orders of one customer may wait in all; None: no limit."""
    waiting: int | None = None
    """How many orders waited when this was computed, so that a later commit can correct it."""

    def spare(self, waiting: int) -> int:
        """Return by how much the capacity has grown, if `waiting` orders wait now."""
        return 0 if self.waiting is None else self.waiting - waiting


@dataclass(frozen=True, slots=True)
class OverCapacity:
    """A group of `orders` orders was refused: with it, too many orders would wait."""

    orders: int
    customer_id: str | None = None
    """The customer of which too many would wait; None: too many of all customers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Asks for the `limit` most urgent queue entries after `after`, of tiers not paused."""

    after: QueueEntry
    limit: int


class Take(NamedTuple):
    """Offers free slots: of a worker, by one of its calls, or of this process itself."""

    most: int
    holder: Holder | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNext:
    """Asks the store to start its most urgent orders, of tiers not paused, and deal them to slots.

    The most urgent goes to the first slot that may take it, in the order of `takes`.

    - A worker that stops or has ended, and one unknown to the store that `Work.ends` ended, takes
      nothing; it is named in `Committed.closed`.
    - A call with a number (`Holder.call` > 0) that was given leases before which are still good
      takes nothing: `Committed.told_again` has those.
    - An order during whose attempts its process died `alone` times, a suspect, goes to the first
      slot whose worker has no lease, and for this process: `is_idle`. That one takes nothing else
      beside it, then or later, until it has ended. Where there is no such slot, neither this order
      starts nor any that is less urgent.

    What a worker has may be known to the store only, so that it decides. What this process has in
    process itself it knows: it offers no slots of its own beside a suspect.
    """

    takes: Sequence[Take]
    """At most MOST_STARTS slots."""
    is_idle: bool
    """Whether this process has nothing in process itself, workers apart."""
    alone: int = NEVER_ALONE

    @property
    def most(self) -> int:
        """How many slots there are."""
        return sum([take.most for take in self.takes])

    @property
    def own(self) -> int:
        """How many of them are this process's own."""
        return sum([take.most for take in self.takes if take.holder is None])


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """Asks the store to prune the oldest completions, at most `limit`, with their orders.

    Only orders that ended before `completed_before`. Also at most `limit` request_ids of orders
    that were pruned before and ended before `requests_before` (None: no request_ids). Times are
    microseconds since 1970.
    """

    completed_before: int
    requests_before: int | None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What one commit makes durable together; the fields take effect in their order here.

    Before all of them, the commit does what is due: scheduled orders whose time has come are
    queued, and waiting orders whose expire_time has come expire.

    A cancel, a pause and a new order name the operator who asks for it, if one does (`by`). Where
    it changes something, the commit records that as an OperatorAction: there is one for each such
    change, and none without it. Of two that ask for the same, the first one does it.
    """

    settles: Sequence[Settlement] = ()
    releases: Sequence[Lease] = ()
    work: Work | None = None
    """What workers in processes of their own say."""
    cancels: Sequence[Cancel] = ()
    cancels_waiting: Sequence[CancelWaiting] = ()
    pauses: Sequence[Pause] = ()
    accepts: Sequence[Sequence[NewOrder]] = ()
    """Groups of orders; each group is accepted as a whole or not at all."""
    capacity: Capacity = Capacity(total=0, regular=0)
    claims: Sequence[QueueEntry] = ()
    """The orders to start, in the order of their start. What is over by now expires instead."""
    holders: Sequence[Holder | None] = ()
    """Who gets each of `claims`; empty: this process itself gets all. Who claims for a worker has
    seen to it that it may take this order, as ClaimNext says."""
    attempt_limit: int = 0
    """How long attempts that workers start may take, in microseconds; 0: any time. Then they are
    told as `Committed.overdue`."""
    claim_next: ClaimNext | None = None
    """Start those that are most urgent in the store; beside `claims`, after them, only in a store
    that one process uses."""
    page: Page | None = None
    prune: Prune | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """The store's state, and what has happened since the last StoreState.

    Where other processes use the store too, what they did is included.
    """

    counts: CountsByTier
    accept_counts: Mapping[Tier, int]
    """How many orders of each tier were accepted."""
    completion_counts: Mapping[Tier, int]
    """How many orders of each tier ended."""
    start_count: int = 0
    """How many attempts started."""
    paused: frozenset[Tier] = frozenset()
    next_due: int | None = None
    """When the next waiting order falls due or expires; a time in the past: more is due already."""
    head: int
    """The sequence of the newest completion."""
    earliest: int
    """The sequence of the newest completion that was pruned, 0 if none was."""
    to_stop: Sequence[int] = ()
    """Accept sequences of orders in process here that were cancelled at another process."""
    news: Collection[str] = ()
    """Ids of workers that have news, told by `Store.read_worker`: somebody asked to cancel orders
    that they process, or they have lost leases, but not by their own words."""
    capacity: int = 0
    """How many slots the workers have that live, in processes of their own."""
    workers: int | None = None
    """How many workers all processes that use the store have; None: only this process uses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed(StoreState):
    """What a commit did with the Changes, each list in their order; and the state after it."""

    settled: list[State | None] = field(default_factory=list)
    """The order's state now; None: the lease was no longer valid, and nothing was changed."""
    released: list[State | None] = field(default_factory=list)
    """As in `settled`."""
    work: WorkDone | None = None
    """What became of `Changes.work`; None: there was none."""
    cancelled: list[Cancelled | None] = field(default_factory=list)
    """None: there is no such order."""
    cancelled_waiting: list[dict[Tier, int]] = field(default_factory=list)
    """How many orders of each tier each of them cancelled."""
    accepted: list[tuple[Receipt, ...] | RequestIdReused | OverCapacity] = field(
        default_factory=list
    )
    claimed: list[Lease | None] = field(default_factory=list)
    """None: the order no longer waits, so it did not start."""
    claimed_next: list[Lease] = field(default_factory=list)
    """What started because of `claim_next`, most urgent first; to workers as LentLease."""
    told_again: list[LentLease] = field(default_factory=list)
    """The leases that calls in `claim_next` were given before."""
    closed: Collection[str] = ()
    """Ids of workers in `claim_next` that take nothing any more."""
    overdue: Mapping[LeaseKey, str] = field(default_factory=dict)
    """Leases of workers, and the id of each worker, whose attempts take longer than they may; at
    most MOST_STARTS. Nothing was changed, but that they are told again after OVERDUE_AGAIN, unless
    they have been ended."""
    queued: list[QueueEntry] = field(default_factory=list)
    """Every order that this commit queued: accepted, released or fallen due. A shared store leaves
    it empty: one process does not see what the others queue, so it keeps no queue of its own."""
    page: list[QueueEntry] = field(default_factory=list)
    pruned: int = 0
    """How much was pruned; when it is as much as the limit, there may be more."""
