"""The store: what every engine promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from orderintake_server.domain import Ranking, Tier
from orderintake_server.store.changes import NEVER_ALONE
from orderintake_server.store.rows import completion_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from orderintake_server.domain import Completion, Order
    from orderintake_server.holders import Holder, LentLease, WorkerRow
    from orderintake_server.store.changes import Changes, Committed, StoreState
    from orderintake_server.store.rows import ReadRow
    from orderintake_server.views import (
        BulkDone,
        CountsByTier,
        FailedOrder,
        FailureCounts,
        LogPage,
        OperatorAction,
        OrderFilter,
        Selection,
        StoreCondition,
    )

COMPLETION_BYTES = 320
"""The most that a completion takes in a message beside its order's content, result and failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a store needs to know of the service's settings."""

    ranking: Ranking = field(default_factory=Ranking)
    max_crashes: int = 3
    """An order is quarantined when the process has died this many times during its attempts."""
    counts_customers: bool = False
    """Whether the waiting orders of each customer are counted, for a limit on them."""

    @property
    def alone(self) -> int:
        """From so many crashes on an order runs alone: with one more it is quarantined.

        All that were in process when a process died are suspects, though only one of them did it.
        Where the first crash is the last, nothing can be done for the innocent.
        """
        return self.max_crashes - 1 or NEVER_ALONE


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryReport:
    """What the store held when it was opened, after recovery: nothing is in process here."""

    log_id: str
    counts: CountsByTier
    recovered: int
    """How many of the waiting orders were in process when the last server crashed."""
    quarantined: int
    """How many orders ended because the process had died too often during their attempts."""
    head: int
    earliest: int
    paused: frozenset[Tier] = frozenset()
    workers: Sequence[WorkerRow] = ()
    """The workers in processes of their own, those too that ended not long ago: their attempts go
    on and are not recovered. A store that other processes use tells of none."""
    kept: int = 0
    """How many attempts of such workers go on."""


class Located(NamedTuple):
    """How an order stands, where, and whether its tier is paused, all at one moment."""

    stands: Order | Completion
    position: int = 0
    """In the queue, from 1; 0 when it is not queued."""
    is_paused: bool = False


class Commits(Protocol):
    """Makes changes durable."""

    async def commit(self, changes: Changes) -> Committed:
        """Keep `Store.commit`."""


class Selections(Protocol):
    """Finds the orders of which many are listed or changed at once, and what was done to many.

    Reads raise StoreError, as `Store.commit` does.
    """

    async def list_failures(
        self,
        wanted: Selection,
        *,
        after: int,
        limit: int,
        max_bytes: int,
        newest_first: bool = True,
    ) -> tuple[list[FailedOrder], int | None]:
        """Return the failures before completion sequence `after`, falling, at most `limit`.

        Those before 0 begin with the newest. Without `newest_first` those after it, rising. They
        have `max_bytes` at most, counted as `read_log` does, but there is at least one if there is
        one. Also returns the sequence after which to go on, None when there are no more. The work
        is bounded, and no order that did not fail is looked at: a page may hold fewer than `limit`,
        even none, and more may follow.
        """

    async def count_failures(self, wanted: Selection) -> FailureCounts:
        """Count the failures that match, by code; of all of them, the newest SCAN_ROWS."""

    async def list_waiting(
        self, wanted: Selection, *, after: int, limit: int
    ) -> tuple[list[int], int | None]:
        """Return the waiting orders after accept sequence `after`, rising, at most `limit`.

        Also returns the accept sequence after which to go on, None when there are no more. The work
        is bounded, and no order is looked at that does not wait: there may be fewer, even none, and
        more may follow.
        """

    async def find_bulk(self, request_id: str) -> BulkDone | None:
        """Return what the call with this request_id did to many orders, None if it did nothing."""


class AtWork(Protocol):
    """Knows the workers in processes of their own. Reads raise StoreError, as `Store.commit`."""

    async def read_worker(self, worker_id: str) -> WorkerRow | None:
        """Return a worker with its leases, None if it is unknown. One indexed read."""

    async def list_workers(self) -> list[WorkerRow]:
        """Return the workers that have not ended, with their leases, in the order of `since`."""

    async def leases_of(self, holder: Holder) -> list[LentLease]:
        """Return what a call was given, as far as it is still good, in the order of its starts."""

    def follow(self, ages: Callable[[], Mapping[str, float]]) -> None:
        """Ask `ages` now and then who was heard here how many seconds ago, by worker_id.

        A store that other processes use buries by that whoever none of them hears. Any other does
        not ask: who uses it asks for `Work.deaths`.
        """


class Condition(Protocol):
    """Tells how the store is doing."""

    async def look(self) -> StoreCondition:
        """Return how it is doing now, and who uses it. Raises StoreError, as `Store.commit`."""


class Store(Protocol):
    """Keeps the orders, the queue, and the completion log.

    Reads raise StoreError, as `commit` does.

    - Nothing changes but by `commit`. When it returns, all of it is durable; when it raises, none
      of it happened, unless StoreAway leaves that unknown.
    - Sequences (accept, start, completion) have no gap and are never used twice.
    - At any time an order is in exactly one table: ready, scheduled, leases or log.
    - Leases of workers outlive the process; only those of supervised ones do not.
    - What operators did is recorded in the commit that did it, with sequences of its own; it is
      never pruned.
    - Every read that begins after `commit` returned sees what it changed.
    """

    @property
    def recovery(self) -> RecoveryReport:
        """What the store held when it was opened."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may use the store too: then orders start only by `claim_next`."""

    @property
    def selections(self) -> Selections:
        """The reads of what is listed or changed many at once."""

    @property
    def at_work(self) -> AtWork:
        """The workers in processes of their own."""

    @property
    def condition(self) -> Condition:
        """How it is doing."""

    async def commit(self, changes: Changes) -> Committed:
        """Make the changes durable, all together.

        A request_id that the customer used before returns the same order again (a replay), even
        when the queue is full; with other content, its group gets RequestIdReused.

        Raises StoreRefused when the store does not take something in it: nothing happened, and
        other changes go on. Raises StoreFull or StoreBusy when the store lacks a resource: nothing
        happened, and the same may be tried again. Raises StoreAway when the store cannot be
        reached: it is not known what happened, and it does no harm to settle the same attempts
        again. Raises StoreBroken when the store cannot continue.
        """

    async def note_stop(self) -> None:
        """Note that an operator stops this process: however it ends, no order's crash is counted.

        That is for its own attempts, and for those of workers that it supervises. Raises what
        `commit` does.
        """

    def watch(self) -> AsyncIterator[StoreState]:
        """Yield the store's state whenever other processes changed it, soon after; without end.

        Raises StoreBroken soon after anything, a read too, has found that the store is broken.
        """

    async def find(self, accept_sequence: int) -> Order | Completion | None:
        """Return an order in its present state, its completion once it ended, None if unknown."""

    async def known_requests(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return which of these pairs of customer_id and request_id name an accepted order."""

    async def locate(self, accept_sequence: int) -> Located | None:
        """Return how an order stands and its exact position, both of one moment; None if unknown.

        For one caller: the position may have to be counted.
        """

    async def list_orders(
        self, wanted: OrderFilter, *, after: int, limit: int, newest_first: bool = False
    ) -> tuple[list[Order], int | None]:
        """Return the orders after accept sequence `after`, in that order, at most `limit`.

        With `newest_first` those before `after`, in the reverse order; those before 0 begin with
        the last of all. They fit in one message, which is below 256 KiB; there is at least one if
        there is one. Also returns the accept sequence after which to go on, None when there are no
        more. The work is bounded: a page may hold fewer than `limit`, even none, and more may
        follow.
        """

    async def read_log(
        self,
        wanted: OrderFilter,
        *,
        after: int,
        limit: int,
        max_bytes: int,
        read: ReadRow = completion_of,
    ) -> LogPage[Any]:
        """Return the completions after sequence `after` whose orders are wanted, in order.

        At most `limit` of them and `max_bytes`, but at least one if there is one. A completion's
        size is its order's content, its result or failure, and COMPLETION_BYTES for the rest. The
        work is bounded; with a filter it grows only with the completions of the wanted customer or
        tier. A page may hold fewer, even none, and not be the last.

        The page holds what `read` makes of each completion's row; it is called where rows are read,
        which may be another thread.

        Raises CursorExpired when some completions after `after` have been pruned.
        """

    async def bounds(self) -> tuple[int, int]:
        """Return two sequences: of the newest completion that was pruned, and of the newest."""

    async def list_actions(
        self, accept_sequence: int | None, *, before: int, limit: int
    ) -> tuple[list[OperatorAction], bool]:
        """Return what operators did before action `before`, the newest first, at most `limit`.

        Only what was done to the order of this accept sequence, unless it is None. They fit in one
        message, which is below 256 KiB: it may be fewer, but at least one if there is one. Also
        returns whether there are more.
        """

    async def oldest_waiting(self) -> dict[Tier, int]:
        """Return the accept time of the oldest queued order, for each tier that has one."""
