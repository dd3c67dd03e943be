"""One SQLite transaction: its sequences and counts, and how orders move from table to table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orderintake_server.domain import Failure, Order, QueueEntry, State, Tier
from orderintake_server.store.sqlite.backlog import Backlog, Move, tally
from orderintake_server.store.sqlite.workers.roster import Roster
from orderintake_server.store.sqlite.writing.statements import as_json
from orderintake_server.store.sqlite.writing.transaction import Transaction
from orderintake_server.store.sqlite.writing.writes import (
    COMPLETE,
    COUNT,
    LEAVE_QUEUE,
    LEAVE_SCHEDULE,
    QUEUE,
    QUEUE_NEW,
    SCHEDULE,
    WATCH_EXPIRY,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from orderintake_server.domain import Ranking
    from orderintake_server.holders import LeaseKey
    from orderintake_server.store.base import Policy


@dataclass(slots=True)
class Counters:
    """The last accept, start and completion sequence, and the latest accept time.

    `time`: of the last commit that gave a number. It falls when the clock does.
    """

    accepted: int
    started: int
    completed: int
    time: int
    accept_time: int


End = tuple[Order, State, Failure | None, bytes | None]
"""An order that ends: in which state, with which failure or result."""


class UnitOfWork:
    """The writer's sequences and counts, and the moves of orders, which keep the tables consistent.

    All of it follows the transaction: what was done since the last `commit` can be rolled back.
    """

    def __init__(self, connection: sqlite3.Connection, policy: Policy) -> None:
        """Read the last sequences. The counts come with `load`, after `rerank`."""
        use_rank(connection, policy.ranking)
        self._rank = policy.ranking.rank
        self._transaction = Transaction(connection)
        self.write, self.reading = self._transaction.write, self._transaction.reading
        self.policy = policy
        self.now = 0
        numbers = connection.execute(
            "SELECT accepted, started, completed, time, accept_time FROM counters"
        )
        self.counters = self._committed = Counters(*numbers.fetchone())
        (self.earliest,) = connection.execute("SELECT sequence FROM pruned").fetchone()
        self.backlog = Backlog(policy.ranking, counts_customers=policy.counts_customers)
        self.queued: list[QueueEntry] = []
        self.accept_counts: Counter[Tier] = Counter()
        self.completion_counts: Counter[Tier] = Counter()
        self.start_count = 0
        self.roster = Roster(self._transaction)
        self.attempt_limit = 0
        self.overdue: dict[LeaseKey, str] = {}
        self.news: set[str] = set()
        self.forgiven = 0
        """How many crashes of this process are not counted: one, once it is asked to stop."""
        self.next_due: int | None = None
        self._before: tuple[int, int | None] = (self.earliest, None)

    def load(self) -> None:
        """Count the orders that have not ended."""
        self.backlog.load(self.connection)
        self.look_ahead()

    def rerank(self) -> None:
        """Rank the orders that have not ended by this server's policy, if it has changed."""
        head_start = self.policy.ranking.vip_head_start
        (stored,) = self.connection.execute("SELECT vip_head_start FROM policy").fetchone()
        if stored == head_start:
            return
        self.connection.execute(_RERANK_ORDERS)
        self.connection.execute(
            "UPDATE ready SET rank = (SELECT o.rank FROM orders o"
            " WHERE o.accept_sequence = ready.accept_sequence)"
        )
        self.connection.execute(
            "UPDATE policy SET vip_head_start = ?, since = ?", (head_start, self.counters.accepted)
        )

    def begin(self, now: int) -> None:
        """Begin a transaction at this time. It may be earlier than the one before."""
        self.now = now
        self._committed, self._before = replace(self.counters), (self.earliest, self.next_due)
        self.queued = []
        self.accept_counts, self.completion_counts, self.start_count = Counter(), Counter(), 0
        self.overdue, self.news = {}, set()
        self.roster.begin()

    def follow_clock(self, leap: int) -> None:
        """Note in the transaction that the clock fell, or by how much it leapt, either way.

        A delay before another attempt and what an attempt may take are lengths: their ends move
        with the clock.
        """
        if self.now < self.counters.time:
            self.connection.execute(_NOTE_FALL, (self.counters.time - self.now,))
            self.counters.time = self.now
        if leap:
            self.connection.execute(
                "UPDATE scheduled SET due_time = due_time + ? WHERE attempt_count > 0", (leap,)
            )
            self.connection.execute(
                "UPDATE leases SET deadline = deadline + ? WHERE deadline > 0", (leap,)
            )
            self.look_ahead()
        self.roster.forget_old(self.now)

    def flush(self) -> None:
        """Write all that was done into the transaction, which goes on."""
        self._write_sequences()
        self._transaction.flush()

    def commit(self) -> None:
        """Make all that was done durable, and keep it in memory."""
        self._write_sequences()
        self._transaction.commit()
        self.backlog.commit()

    def _write_sequences(self) -> None:
        """Write the sequences, if they have changed."""
        now = self.counters
        if now != self._committed:
            now.time = self.now
            sequences = (now.accepted, now.started, now.completed, now.time, now.accept_time)
            self.write(COUNT, [sequences])

    def rollback(self) -> None:
        """Undo what was done, in memory too."""
        self.roster.rollback()
        self.counters, (self.earliest, self.next_due) = self._committed, self._before
        self.backlog.rollback()
        self._transaction.rollback()

    def look_ahead(self) -> None:
        """Read when the next waiting order falls due or expires, or an attempt's time is over."""
        (self.next_due,) = self.connection.execute(
            "SELECT min(due) FROM (SELECT min(due_time) AS due FROM scheduled"
            " UNION ALL SELECT min(expire_time) FROM expiries"
            " UNION ALL SELECT min(deadline) FROM leases WHERE deadline > 0)"
        ).fetchone()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, in the transaction; all is in it that was written so far."""
        return self._transaction.connection

    # The moves of orders: an order leaves its old table before it enters another

    def entry(self, order: Order, crash_count: int = 0) -> QueueEntry:
        """Return an order's entry: the process died `crash_count` times in its attempts."""
        number = order.accept_sequence
        rank = self._rank(order.tier, number, order.accept_time)
        return QueueEntry(rank, number, order.tier, crash_count)

    def enqueue(
        self, orders: Sequence[Order], entries: Sequence[QueueEntry], *, are_new: bool = False
    ) -> None:
        """Add orders to the queue, each with its entry; new ones are those accepted just now."""
        self.write(
            QUEUE_NEW if are_new else QUEUE,
            [
                (int(tier), rank, number, order.attempt_count, crashes)
                for order, (rank, number, tier, crashes) in zip(orders, entries, strict=True)
            ],
        )
        self._watch_expiry(orders)
        self._count_waiting(+1, State.QUEUED, orders, entries)
        self.queued += entries

    def schedule(
        self, orders: Sequence[Order], crash_counts: Sequence[int], due_times: Sequence[int]
    ) -> None:
        """Let orders wait until their due times."""
        self.write(
            SCHEDULE,
            [
                (order.accept_sequence, due, order.attempt_count, crashes)
                for order, crashes, due in zip(orders, crash_counts, due_times, strict=True)
            ],
        )
        self._watch_expiry(orders)
        self._count_waiting(+1, State.SCHEDULED, orders)
        self.expect_due(due_times)

    def leave_queue(self, orders: Sequence[Order], entries: Sequence[QueueEntry]) -> None:
        """Remove orders from the queue; they must be in it, with these entries."""
        for tier in {entry.tier for entry in entries}:
            of_tier = [entry for entry in entries if entry.tier is tier]
            ranks = as_json([entry.rank for entry in of_tier])
            numbers = as_json([entry.accept_sequence for entry in of_tier])
            self.write(LEAVE_QUEUE, [(int(tier), ranks, numbers)])
        self._count_waiting(-1, State.QUEUED, orders, entries)

    def leave_schedule(self, orders: Sequence[Order]) -> None:
        """Remove orders from the schedule; they must be in it."""
        self.write(LEAVE_SCHEDULE, [(as_json([order.accept_sequence for order in orders]),)])
        self._count_waiting(-1, State.SCHEDULED, orders)

    def count_processing(self, sign: int, orders: Iterable[Order]) -> None:
        """Count orders that start (+1) or whose attempt ends (-1)."""
        tiers = tally([order.tier for order in orders])
        self.backlog.apply(Move(sign, State.PROCESSING, tiers))

    def end(self, ends: Sequence[End]) -> list[int]:
        """Append ends to the completion log; return their sequences."""
        before = self.counters.completed
        self.counters.completed += len(ends)
        sequences = range(before + 1, self.counters.completed + 1)
        self.write(
            COMPLETE,
            [
                (
                    *(sequence, int(state)),
                    *(order.attempt_count, order.start_sequence, order.start_time, self.now),
                    *((failure.code, failure.message) if failure else (None, None)),
                    result and bytearray(result),
                    *(order.accept_sequence, order.customer_id, int(order.tier)),
                )
                for sequence, (order, state, failure, result) in zip(sequences, ends, strict=True)
            ],
        )
        self.completion_counts.update([order.tier for order, *_ in ends])
        return list(sequences)

    def _watch_expiry(self, orders: Sequence[Order]) -> None:
        """Note the orders' expire_times; an order that does not wait by then does not expire."""
        rows = [(o.expire_time, o.accept_sequence) for o in orders if o.expire_time]
        if rows:
            self.write(WATCH_EXPIRY, rows)
            self.expect_due([row[0] for row in rows])

    def expect_due(self, times: Sequence[int]) -> None:
        """Bring `next_due` forward to the earliest of these times, if that is sooner."""
        if times:
            soonest = min(times)
            self.next_due = soonest if self.next_due is None else min(self.next_due, soonest)

    def _count_waiting(
        self, sign: int, state: State, orders: Sequence[Order], entries: Sequence[QueueEntry] = ()
    ) -> None:
        """Count orders that enter or leave the queue, with their entries, or the schedule."""
        backlog = self.backlog
        counts_customers, bits = backlog.counts_customers, backlog.blocks.bits
        customers = tally([order.customer_id for order in orders]) if counts_customers else {}
        blocks = tally([entry.rank >> bits for entry in entries])
        backlog.apply(Move(sign, state, tally([o.tier for o in orders]), customers, blocks))


def use_rank(connection: sqlite3.Connection, ranking: Ranking) -> None:
    """Let SQL on this connection call the ranking as the function order_rank."""
    connection.create_function("order_rank", 3, ranking.rank, deterministic=True)


_NOTE_FALL = """
INSERT INTO clock_falls SELECT accepted, started, completed,
  (SELECT coalesce(max(rowid), 0) FROM pauses), ? FROM counters
"""
_RERANK_ORDERS = """
UPDATE orders SET rank = order_rank(tier, accept_sequence, accept_time)
WHERE accept_sequence IN (SELECT accept_sequence FROM ready UNION ALL
  SELECT accept_sequence FROM scheduled UNION ALL SELECT accept_sequence FROM leases)
"""
