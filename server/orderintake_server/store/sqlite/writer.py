"""How a set of changes becomes one SQLite transaction."""

from __future__ import annotations

from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from orderintake_server.domain import Order, QueueEntry, State, Tier
from orderintake_server.store.base import RecoveryReport
from orderintake_server.store.changes import Committed, Page
from orderintake_server.store.sqlite import attempts, due, prune
from orderintake_server.store.sqlite.accept import Acceptance
from orderintake_server.store.sqlite.reads import find
from orderintake_server.store.sqlite.unit_of_work import UnitOfWork, WaitingOrder

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from orderintake_server.domain import Lease, NewOrder, Receipt
    from orderintake_server.errors import RequestIdReused
    from orderintake_server.store.base import Policy
    from orderintake_server.store.changes import Capacity, Changes, ClaimNext, OverCapacity

_T = TypeVar("_T")

_BEFORE_ALL = QueueEntry(-1, 0, Tier.VIP, 0)


class Writer:
    """The one that writes: every call is one transaction, flushed before it returns.

    Used by one thread at a time. SQLite's errors leave as they are, with nothing done.
    """

    def __init__(
        self, connection: sqlite3.Connection, clock: Callable[[], int], policy: Policy
    ) -> None:
        """Take over an open database: whatever was in process waits again, or has ended."""
        self._connection = connection
        self._clock = clock
        self._books = UnitOfWork(connection, policy)
        self._paused = self._read_paused()
        self.recovery = self._transact(lambda: self._take_over(policy))

    def commit(self, changes: Changes) -> Committed:
        """Keep `Store.commit`."""
        return self._transact(lambda: self._apply(changes))

    def position(self, accept_sequence: int) -> int:
        """Keep `Store.position`; here, for the counts are the writer's."""
        order = find(self._connection, accept_sequence)
        if not isinstance(order, Order) or order.state is not State.QUEUED:
            return 0
        return self._before(self._books.waiting(WaitingOrder(order, 0))) + 1

    def _transact(self, work: Callable[[], _T]) -> _T:
        """Run `work` as one transaction, the books in step with it."""
        books, paused = self._books, self._paused
        books.begin(self._clock())
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            outcome = work()
            books.write()
            self._connection.execute("COMMIT")
        except BaseException:
            books.rollback()
            self._paused = paused
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        books.keep()
        return outcome

    def _take_over(self, policy: Policy) -> RecoveryReport:
        """Bring everything to where it belongs when nothing is in process, and take stock."""
        books = self._books
        books.rerank()
        books.load()
        recovered, quarantined = attempts.recover(books, policy.max_crashes)
        (log_id,) = self._connection.execute("SELECT log_id FROM identity").fetchone()
        return RecoveryReport(
            log_id=log_id,
            counts=books.backlog.counts(),
            recovered=recovered,
            quarantined=quarantined,
            head=books.counters.completed,
            earliest=self._earliest(),
            paused=self._paused,
        )

    def _apply(self, changes: Changes) -> Committed:
        books = self._books
        due.sweep(books)
        settled = attempts.settle(books, changes.settles) if changes.settles else []
        released = attempts.release(books, changes.releases) if changes.releases else []
        cancelled = due.cancel(books, changes.cancels) if changes.cancels else []
        self._pause(changes.pauses)
        accepted = self._accept(changes.accepts, changes.capacity) if changes.accepts else []
        claimed = attempts.claim(books, changes.claims) if changes.claims else []
        taken = self._take(changes.claim_next) if changes.claim_next else []
        pruned = prune.prune(books, changes.prune) if changes.prune else 0
        return Committed(
            settled=settled,
            released=released,
            cancelled=cancelled,
            accepted=accepted,
            claimed=claimed,
            claimed_next=taken,
            queued=books.queued,
            page=self._page(changes.page) if changes.page else [],
            counts=books.backlog.counts(),
            accept_counts=books.accept_counts,
            completion_counts=books.completion_counts,
            start_count=len(taken) + sum(lease is not None for lease in claimed),
            paused=self._paused,
            next_due=books.next_due,
            head=books.counters.completed,
            earliest=self._earliest(),
            pruned=pruned,
        )

    def _earliest(self) -> int:
        (earliest,) = self._connection.execute("SELECT sequence FROM pruned").fetchone()
        return int(earliest)

    def _accept(
        self, groups: Sequence[Sequence[NewOrder]], capacity: Capacity
    ) -> list[tuple[Receipt, ...] | RequestIdReused | OverCapacity]:
        acceptance = Acceptance(self._books, groups, capacity)
        decisions = [acceptance.decide(group) for group in groups]
        acceptance.store()
        return acceptance.receipts(groups, decisions, self._before)

    def _take(self, take: ClaimNext) -> list[Lease]:
        """Start the most urgent orders there are."""
        places: list[QueueEntry] = []
        for place in self._page(Page(after=_BEFORE_ALL, limit=take.most)):
            if place.crash_count >= take.alone:
                if take.is_idle and not places:
                    places.append(place)
                break
            places.append(place)
        return [lease for lease in attempts.claim(self._books, places) if lease]

    def _pause(self, pauses: Mapping[Tier, bool]) -> None:
        """Note which tiers may not start, and since when."""
        for tier, is_paused in pauses.items():
            if is_paused != (tier in self._paused):
                self._connection.execute(
                    "INSERT INTO pauses VALUES (?, ?, ?)", (tier, self._books.now, is_paused)
                )
        self._paused = self._read_paused() if pauses else self._paused

    def _read_paused(self) -> frozenset[Tier]:
        rows = self._connection.execute(
            "SELECT tier FROM pauses WHERE rowid IN (SELECT max(rowid) FROM pauses GROUP BY tier)"
            " AND is_paused"
        )
        return frozenset(Tier(tier) for (tier,) in rows)

    def _page(self, page: Page) -> list[QueueEntry]:
        """Read the most urgent waiting orders behind a place in the queue, of tiers not paused."""
        tiers = [self._waiting(tier, page) for tier in Tier if tier not in self._paused]
        return list(islice(merge(*tiers), page.limit))

    def _waiting(self, tier: Tier, page: Page) -> list[QueueEntry]:
        rows = self._connection.execute(
            "SELECT rank, accept_sequence, crash_count FROM ready"
            " WHERE tier = ? AND (rank, accept_sequence) > (?, ?)"
            " ORDER BY rank, accept_sequence LIMIT ?",
            (tier, page.after.rank, page.after.accept_sequence, page.limit),
        )
        return [QueueEntry(rank, number, tier, crashes) for rank, number, crashes in rows]

    def _before(self, place: QueueEntry) -> int:
        """Count the orders that are ahead of a place in the queue."""
        blocks = self._books.backlog.blocks
        start = place.rank >> blocks.bits << blocks.bits
        (rest,) = self._connection.execute(
            "SELECT sum(count) FROM (SELECT count(*) AS count FROM ready WHERE tier = 1"
            " AND (rank, accept_sequence) >= (?1, 0) AND (rank, accept_sequence) < (?2, ?3)"
            " UNION ALL SELECT count(*) FROM ready WHERE tier = 2"
            " AND (rank, accept_sequence) >= (?1, 0) AND (rank, accept_sequence) < (?2, ?3))",
            (start, place.rank, place.accept_sequence),
        ).fetchone()
        return blocks.before(place.rank) + int(rest)
