"""The writer: it applies a set of changes in one SQLite transaction."""

from __future__ import annotations

import json
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from orderintake_server.clock import LeapWatch
from orderintake_server.domain import Order, QueueEntry, State, Tier
from orderintake_server.store.actions.sqlite import Trail
from orderintake_server.store.at_work.sqlite import leases_of, rows
from orderintake_server.store.base import Located, RecoveryReport
from orderintake_server.store.changes import Committed, Page
from orderintake_server.store.sqlite import attempts, database, due, prune
from orderintake_server.store.sqlite.accept import Acceptance
from orderintake_server.store.sqlite.reads import find
from orderintake_server.store.sqlite.unit_of_work import UnitOfWork
from orderintake_server.store.sqlite.workers import lost, reports
from orderintake_server.store.sqlite.workers.dealer import Dealer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from orderintake_server.clock import Clock
    from orderintake_server.domain import Lease
    from orderintake_server.store.base import Policy
    from orderintake_server.store.changes import Changes, Pause
    from orderintake_server.store.receipts import Outcome

_T = TypeVar("_T")

_BEFORE_ALL = QueueEntry(-1, 0, Tier.VIP, 0)


class Writer:
    """The only object that writes: each commit is one transaction, flushed before it returns.

    One thread at a time may use it. After an error of SQLite, which is passed on, nothing is done.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock, policy: Policy) -> None:
        """Open for writing; orders that were in process are queued again, or have ended."""
        self._connection = connection
        self._clock = clock
        self.ranking = policy.ranking
        self._leaps = LeapWatch()
        self._unit = UnitOfWork(connection, policy)
        self._paused = self._read_paused()
        self.recovery = self._transact(self._recover)

    def commit(self, changes: Changes) -> Committed:
        """Keep `Store.commit`."""
        self._unit.attempt_limit = changes.attempt_limit
        return self._transact(lambda: self._apply(changes))

    def note_stop(self) -> None:
        """Keep `Store.note_stop`."""
        self._transact(lambda: lost.forgive(self._unit))
        self._unit.forgiven = 1

    def truncate_log(self) -> bool:
        """Copy the whole write-ahead log back and empty it; tell whether it is empty now."""
        return database.truncate_log(self._connection)

    def locate(self, accept_sequence: int) -> Located | None:
        """Keep `Store.locate`; it is here because the counts belong to the writer."""
        order = find(self._connection, accept_sequence)
        if not isinstance(order, Order) or order.state is not State.QUEUED:
            return None if order is None else Located(order)
        position = self._before(self._connection, self._unit.entry(order)) + 1
        return Located(order, position, is_paused=order.tier in self._paused)

    def _transact(self, work: Callable[[], _T]) -> _T:
        """Run `work` as one transaction; the state in memory is rolled back with it."""
        unit, paused, moment = self._unit, self._paused, self._clock.moment()
        unit.begin(moment.now)
        try:
            unit.follow_clock(self._leaps.leap(moment))
            outcome = work()
            unit.commit()
        except BaseException:
            unit.rollback()
            self._paused = paused
            raise
        self._leaps.keep(moment)
        return outcome

    def _recover(self) -> RecoveryReport:
        """Rank by this policy, count, queue again what was in process; report what there is."""
        unit = self._unit
        unit.rerank()
        unit.load()
        taken = [state for _, state in lost.recover(unit)]
        workers = tuple(rows(unit.connection, "true"))
        (log_id,) = unit.connection.execute("SELECT log_id FROM identity").fetchone()
        return RecoveryReport(
            log_id=log_id,
            counts=unit.backlog.counts(),
            recovered=taken.count(State.QUEUED),
            quarantined=taken.count(State.FAILED),
            head=unit.counters.completed,
            earliest=unit.earliest,
            paused=self._paused,
            workers=workers,
            kept=sum(len(worker.leases) for worker in workers),
        )

    def _apply(self, changes: Changes) -> Committed:
        """Make the changes one after the other, in the order that Changes states."""
        unit = self._unit
        due.sweep(unit)
        ended = self._end(changes)
        cancelled = due.cancel(unit, changes.cancels) if changes.cancels else []
        cancelled_waiting = [due.cancel_waiting(unit, asked) for asked in changes.cancels_waiting]
        self._pause(changes.pauses)
        dealer = Dealer(changes.claim_next, unit.roster) if changes.claim_next else None
        accepted, started = self._accept(changes, dealer) if changes.accepts else ([], [])
        if changes.claims or changes.claim_next:
            due.expire(unit)  # also what this very commit accepted or took back
        claimed = attempts.claim(unit, changes.claims, changes.holders) if changes.claims else []
        claimed_next = started or self._claim_next(dealer)
        return Committed(
            **ended,
            cancelled=cancelled,
            cancelled_waiting=cancelled_waiting,
            accepted=accepted,
            claimed=claimed,
            claimed_next=claimed_next,
            **self._told(dealer),
            queued=_without(unit.queued, claimed_next),
            page=self._page(changes.page) if changes.page else [],
            pruned=prune.prune(unit, changes.prune) if changes.prune else 0,
            **self._state(),
        )

    def _end(self, changes: Changes) -> dict[str, Any]:
        """End attempts; return the fields of Committed that tell of that."""
        unit = self._unit
        return {
            "settled": attempts.settle(unit, changes.settles) if changes.settles else [],
            "released": attempts.release(unit, changes.releases) if changes.releases else [],
            "work": reports.do(unit, changes.work) if changes.work else None,
        }

    def _state(self) -> dict[str, Any]:
        """Return the fields of StoreState: the state, and what this transaction has counted."""
        unit = self._unit
        return {
            "counts": unit.backlog.counts(),
            "accept_counts": unit.accept_counts,
            "start_count": unit.start_count,
            "completion_counts": unit.completion_counts,
            "paused": self._paused,
            "next_due": unit.next_due,
            "head": unit.counters.completed,
            "earliest": unit.earliest,
            "news": tuple(sorted(unit.news)),
            "capacity": unit.roster.capacity,
        }

    def _told(self, dealer: Dealer | None) -> dict[str, Any]:
        """Return the fields of Committed that tell workers of what is no new start."""
        told: dict[str, Any] = {"overdue": self._unit.overdue} if self._unit.overdue else {}
        if dealer and (dealer.had or dealer.closed):
            again = [
                lease for holder in dealer.had for lease in leases_of(self._unit.connection, holder)
            ]
            told |= {"told_again": again, "closed": dealer.closed}
        return told

    def _accept(self, changes: Changes, dealer: Dealer | None) -> tuple[list[Outcome], list[Lease]]:
        """Accept orders; return each group's outcome, and what started at once.

        New orders may start without a look at the queue when it is empty.
        """
        acceptance = Acceptance(self._unit, changes.accepts, changes.capacity)
        decisions = [acceptance.decide(group) for group in changes.accepts]
        is_empty = not self._paused and not self._unit.backlog.queued()
        started = acceptance.store(dealer if is_empty else None)
        return acceptance.receipts(changes.accepts, decisions, self._ahead_of), started

    def _claim_next(self, dealer: Dealer | None) -> list[Lease]:
        """Start the most urgent orders; an order that must run alone starts with no other."""
        if dealer is None or not dealer.most or not self._unit.backlog.queued():
            return []
        first = self._page(Page(after=_BEFORE_ALL, limit=dealer.most))
        holders = dealer.deal(first)
        entries = first[: len(holders)]
        return [lease for lease in attempts.claim(self._unit, entries, holders) if lease]

    def _pause(self, pauses: Sequence[Pause]) -> None:
        """Record which tiers are paused or resumed, since when, and by whom."""
        for pause in pauses:
            if pause.is_paused != (pause.tier in self._paused):
                self._unit.connection.execute(
                    "INSERT INTO pauses VALUES (?, ?, ?)",
                    (pause.tier, self._unit.now, pause.is_paused),
                )
                self._unit.counters.time = self._unit.now
                Trail(self._unit.connection, self._unit.now).paused(pause)
                self._paused = self._read_paused()

    def _read_paused(self) -> frozenset[Tier]:
        rows = self._unit.reading("pauses").execute(
            "SELECT tier FROM pauses WHERE rowid IN (SELECT max(rowid) FROM pauses GROUP BY tier)"
            " AND is_paused"
        )
        return frozenset(Tier(tier) for (tier,) in rows)

    def _page(self, page: Page) -> list[QueueEntry]:
        """Return the most urgent entries after `page.after`, of tiers that are not paused."""
        tiers = [self._page_of(tier, page) for tier in Tier if tier not in self._paused]
        return list(islice(merge(*tiers), page.limit))

    def _page_of(self, tier: Tier, page: Page) -> list[QueueEntry]:
        (found,) = self._unit.connection.execute(
            _PAGE, (tier, page.after.rank, page.after.accept_sequence, page.limit)
        ).fetchone()
        entries = json.loads(found)
        return sorted(
            [QueueEntry(rank, number, tier, crashes) for rank, number, crashes in entries]
        )

    def _ahead_of(self, entry: QueueEntry) -> int:
        return self._before(self._unit.connection, entry)

    def _before(self, connection: sqlite3.Connection, entry: QueueEntry) -> int:
        """Return how many orders are ahead of this entry in the queue, as the connection has it."""
        blocks = self._unit.backlog.blocks
        start = entry.rank >> blocks.bits << blocks.bits
        (rest,) = connection.execute(
            _BETWEEN, (start, entry.rank, entry.accept_sequence)
        ).fetchone()
        return blocks.before(entry.rank) + int(rest)


def _without(queued: list[QueueEntry], started: Sequence[Lease]) -> list[QueueEntry]:
    """Leave out the orders that this commit has started too."""
    numbers = {lease.order.accept_sequence for lease in started}
    return (
        [entry for entry in queued if entry.accept_sequence not in numbers] if numbers else queued
    )


_PAGE = """
SELECT json_group_array(json_array(rank, accept_sequence, crash_count)) FROM (
  SELECT rank, accept_sequence, crash_count FROM ready
  WHERE tier = ? AND (rank, accept_sequence) > (?, ?) ORDER BY rank, accept_sequence LIMIT ?)
"""
_BETWEEN_OF_TIER = """
SELECT count(*) AS count FROM ready WHERE tier = {tier:d}
AND (rank, accept_sequence) >= (?1, 0) AND (rank, accept_sequence) < (?2, ?3)
"""
_BETWEEN = (
    "SELECT sum(count) FROM ("
    + " UNION ALL ".join(_BETWEEN_OF_TIER.format(tier=tier) for tier in Tier)
    + ")"
)
"""Counts the queued orders from a rank up to an entry, with each tier's index."""
