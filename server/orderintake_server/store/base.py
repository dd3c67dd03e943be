"""The promise every store makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from orderintake_server.domain import Ranking, Tier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from orderintake_server.domain import (
        Cancelled,
        Completion,
        Ending,
        NewOrder,
        Order,
        Receipt,
        State,
        Waiting,
    )
    from orderintake_server.errors import RequestIdReused


COMPLETION_BYTES = 256
"""What a completion takes when it is told, beside its order's content and its ending: at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a store needs to know of the service's settings."""

    ranking: Ranking = field(default_factory=Ranking)
    max_crashes: int = 3
    """An order is quarantined when the process has died so many times during its attempts."""
    counts_customers: bool = False
    """Whether the waiting orders of each customer are counted, for a limit of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to end one attempt: good until it is settled, given back or recovered."""

    order: Order
    crash_count: int

    @property
    def tries(self) -> int:
        """How many attempts the handler has had, this one too; those that died are not its own."""
        return self.order.attempt_count - self.crash_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What came of the attempt that `lease` stands for."""

    lease: Lease
    ending: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
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
class NoRoom:
    """A group was refused because it would have made more orders wait than may."""

    orders: int
    customer_id: str | None = None
    """The customer of which as many wait as may; None: of all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The `limit` most urgent orders behind `after` are asked for too, of tiers not paused."""

    after: Waiting
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
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
    returns: Sequence[Lease] = ()
    cancels: Sequence[int] = ()
    """Accept sequences of orders to be cancelled."""
    pauses: Mapping[Tier, bool] = field(default_factory=dict)
    """Tiers to be paused (True) or resumed."""
    accepts: Sequence[Sequence[NewOrder]] = ()
    """Groups of orders; each group is accepted as a whole or not at all."""
    room: Room = Room(total=0, regular=0)
    claims: Sequence[Waiting] = ()
    """The orders that start now, in the order of their start."""
    take: Take | None = None
    """Or those that the store finds most urgent."""
    page: Page | None = None
    prune: Prune | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many orders of one tier stand where."""

    queued: int = 0
    scheduled: int = 0
    processing: int = 0


Tallies = dict[Tier, Tally]


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """How the store stands, and what has happened since it was told the last time.

    Where other processes use the store too, that is theirs as well.
    """

    tallies: Tallies
    came: Mapping[Tier, int]
    """How many orders of each tier were accepted."""
    ended: Mapping[Tier, int]
    """How many orders of each tier ended."""
    started: int = 0
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
class Committed(News):
    """What became of the Changes, each list in their order; and how the store stands then."""

    settled: list[State | None] = field(default_factory=list)
    """Where the order stands now; None: the lease was no longer good, nothing was changed."""
    returned: list[State | None] = field(default_factory=list)
    """As above."""
    cancelled: list[Cancelled | None] = field(default_factory=list)
    """None: there is no such order."""
    accepted: list[tuple[Receipt, ...] | RequestIdReused | NoRoom] = field(default_factory=list)
    claimed: list[Lease | None] = field(default_factory=list)
    """None: the order waits no longer, there is nothing to start."""
    taken: list[Lease] = field(default_factory=list)
    """What started because of `take`, most urgent first."""
    queued: list[Waiting] = field(default_factory=list)
    """All that was queued by this commit: new, given back, fallen due. A store that other processes
    use too does not tell: nobody who knows it knows all that waits."""
    page: list[Waiting] = field(default_factory=list)
    pruned: int = 0
    """How much was forgotten; as much as the limit: there may be more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the store held when it was opened, with nothing in process any more."""

    log_id: str
    tallies: Tallies
    recovered: int
    """How many of those waiting were in process when the last server ended without notice."""
    quarantined: int
    """How many orders were ended because the process died during their attempts too often."""
    head: int
    earliest: int
    paused: frozenset[Tier] = frozenset()


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


class Store(Protocol):
    """Keeps orders, their place in the queue, and the log of their completions.

    Reads raise StoreBroken, StoreFull or StoreAway as `commit` does.

    - `commit` is the only way anything changes. When it returns, all of it is durable; when it
      raises, none of it happened.
    - Sequences (accept, start, completion) have no hole and are never used twice.
    - An order is in one place at any moment: ready, scheduled, leased, or in the log.
    - What `commit` returned is seen by every read that begins later.
    """

    @property
    def found(self) -> Found:
        """What the store held when it was opened."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may use the store too: then orders start by `take` only."""

    async def commit(self, changes: Changes) -> Committed:
        """Make the changes durable, all together.

        A request_id that the customer used before gives the same order again (a replay), whatever
        the room, or RequestIdReused for its group when the content differs.

        Raises StoreFull when there is no room on the disk: nothing happened, and the same may be
        tried again. Raises StoreAway when the store cannot be reached: what happened is not known,
        and to end the same attempts again does no harm. Raises StoreBroken when the store cannot go
        on.
        """

    def news(self) -> AsyncIterator[News]:
        """Tell whatever others change in the store, soon after it is durable; without end."""

    async def find(self, accept_sequence: int) -> Order | Completion | None:
        """Tell how an order stands: as it waits or runs, or its completion once it ended."""

    async def position(self, accept_sequence: int) -> int:
        """Tell an order's exact place in the queue, from 1; 0 when it is not queued."""

    async def list_orders(
        self, wanted: OrderFilter, *, after: int, limit: int
    ) -> tuple[list[Order], int | None]:
        """List orders behind accept sequence `after`, in that order, at most `limit`.

        Also tells the accept sequence to go on behind, None when there is nothing more. The work
        is bounded: there may be fewer than `limit`, even none, and more behind.
        """

    async def read_log(
        self, wanted: OrderFilter, *, after: int, limit: int, max_bytes: int
    ) -> LogPage:
        """Read the completions behind sequence `after` whose orders are wanted, in order.

        At most `limit`, and no more than `max_bytes`, but at least one if there is one. What counts
        is the order's content, its result or failure, and COMPLETION_BYTES for the rest. The work
        is bounded, and grows with one customer's or one tier's completions only where just theirs
        are wanted: a page may hold fewer, even none, and not be the last.

        Raises CursorExpired when some of what follows has been forgotten.
        """

    async def bounds(self) -> tuple[int, int]:
        """Tell the sequences of the newest completion that was forgotten, and of the newest."""

    async def oldest_waiting(self) -> dict[Tier, int]:
        """Tell the accept time of the oldest queued order of each tier that has one."""
