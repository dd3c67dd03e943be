"""One SQLite transaction: its sequences and counts, and how orders move from table to table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.domain import TRANSITIONS, Event, Order, QueueEntry, State, Tier
from orderintake_server.store.rows import LOG_COLUMNS
from orderintake_server.store.sqlite.backlog import Backlog, Move
from orderintake_server.store.sqlite.statements import as_json, insert

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from orderintake_server.domain import Failure, Ranking
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


class WaitingOrder(NamedTuple):
    """An order that waits or is about to, and its entry in the queue."""

    order: Order
    entry: QueueEntry


class End(NamedTuple):
    """How an order ends: by which event, with which failure or result."""

    order: Order
    event: Event
    failure: Failure | None = None
    result: bytes | None = None


class UnitOfWork:
    """The writer's sequences and counts, and the moves of orders, which keep the tables consistent.

    All of it follows the transaction: what was done since the last `commit` can be rolled back.
    """

    def __init__(self, connection: sqlite3.Connection, policy: Policy) -> None:
        """Read the last sequences. The counts come with `load`, after `rerank`."""
        use_rank(connection, policy.ranking)
        self._rank = policy.ranking.rank
        self.connection = connection
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
        self.forgiven = 0
        """How many crashes of this process are not counted: one, once it is asked to stop."""
        self.next_due: int | None = None
        self._before: tuple[int, int | None] = (self.earliest, None)

    def load(self) -> None:
        """Count the orders that have not ended."""
        execute = self.connection.execute
        for tier, count in execute("SELECT tier, count(*) FROM ready GROUP BY tier"):
            self.backlog.load(Tier(tier), State.QUEUED, count)
        blocks = execute(
            "SELECT rank >> ?, count(*) FROM ready GROUP BY 1", (self.backlog.blocks.bits,)
        )
        for block, count in blocks:
            self.backlog.blocks.add(block, count)
        for state, table in ((State.SCHEDULED, "scheduled"), (State.PROCESSING, "leases")):
            counts = execute(
                f"SELECT o.tier, count(*) FROM {table} p"
                " JOIN orders o ON o.accept_sequence = p.accept_sequence GROUP BY o.tier"
            )
            for tier, count in counts:
                self.backlog.load(Tier(tier), state, count)
        if self.policy.counts_customers:
            self.backlog.load_customers(execute(_CUSTOMERS))
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

    def follow_clock(self, leap: int) -> None:
        """Note in the transaction that the clock fell, or by how much it leapt, either way.

        A delay before another attempt is a length: its end moves with the clock.
        """
        if self.now < self.counters.time:
            self.connection.execute(_NOTE_FALL, (self.counters.time - self.now,))
            self.counters.time = self.now
        if leap:
            self.connection.execute(
                "UPDATE scheduled SET due_time = due_time + ? WHERE attempt_count > 0", (leap,)
            )
            self.look_ahead()

    def flush(self) -> None:
        """Write the sequences into the transaction, if they have changed."""
        now = self.counters
        if now != self._committed:
            now.time = self.now
            self.connection.execute(
                "UPDATE counters SET accepted = ?, started = ?, completed = ?, time = ?,"
                " accept_time = ?",
                (now.accepted, now.started, now.completed, now.time, now.accept_time),
            )

    def commit(self) -> None:
        """Keep what was done: the transaction is durable."""
        self.backlog.commit()

    def rollback(self) -> None:
        """Undo in memory what was done: the transaction failed."""
        self.counters, (self.earliest, self.next_due) = self._committed, self._before
        self.backlog.rollback()

    def look_ahead(self) -> None:
        """Read when the next waiting order falls due or expires."""
        (self.next_due,) = self.connection.execute(
            "SELECT min(due) FROM (SELECT min(due_time) AS due FROM scheduled"
            " UNION ALL SELECT min(expire_time) FROM expiries)"
        ).fetchone()

    # The moves of orders: an order leaves its old table before it enters another

    def waiting(self, order: Order, crash_count: int = 0) -> WaitingOrder:
        """Return an order with its entry: the process died `crash_count` times in its attempts."""
        number = order.accept_sequence
        rank = self._rank(order.tier, number, order.accept_time)
        return WaitingOrder(order, QueueEntry(rank, number, order.tier, crash_count))

    def enqueue(self, waiting_orders: Sequence[WaitingOrder]) -> None:
        """Add orders to the queue."""
        insert(
            self.connection,
            "ready",
            [
                (tier, rank, number, order.attempt_count, crashes)
                for order, (rank, number, tier, crashes) in waiting_orders
            ],
        )
        self._watch_expiry(waiting_orders)
        self._count(+1, State.QUEUED, waiting_orders)
        self.queued += [entry for _, entry in waiting_orders]

    def schedule(self, waiting_orders: Sequence[WaitingOrder], due_times: Sequence[int]) -> None:
        """Let orders wait until their due times."""
        insert(
            self.connection,
            "scheduled",
            [
                (order.accept_sequence, due, order.attempt_count, entry.crash_count)
                for (order, entry), due in zip(waiting_orders, due_times, strict=True)
            ],
        )
        self._watch_expiry(waiting_orders)
        self._count(+1, State.SCHEDULED, waiting_orders)
        self._expect_due(due_times)

    def leave_queue(self, waiting_orders: Sequence[WaitingOrder]) -> None:
        """Remove orders from the queue; they must be in it."""
        for tier, entries in _by_tier(waiting_orders).items():
            self.connection.execute(
                "DELETE FROM ready WHERE tier = ? AND rank IN (SELECT value FROM json_each(?))"
                " AND +accept_sequence IN (SELECT value FROM json_each(?))",
                (
                    tier,
                    as_json(entry.rank for _, entry in entries),
                    as_json(entry.accept_sequence for _, entry in entries),
                ),
            )
        self._count(-1, State.QUEUED, waiting_orders)

    def leave_schedule(self, waiting_orders: Sequence[WaitingOrder]) -> None:
        """Remove orders from the schedule; they must be in it."""
        self.connection.execute(
            "DELETE FROM scheduled WHERE accept_sequence IN (SELECT value FROM json_each(?))",
            (as_json(order.accept_sequence for order, _ in waiting_orders),),
        )
        self._count(-1, State.SCHEDULED, waiting_orders)

    def count_processing(self, sign: int, orders: Iterable[Order]) -> None:
        """Count orders that start (+1) or whose attempt ends (-1)."""
        for tier, count in Counter(order.tier for order in orders).items():
            self.backlog.apply(Move(sign, State.PROCESSING, tier, count))

    def end(self, ends: Sequence[End]) -> list[int]:
        """Append ends to the completion log; return their sequences."""
        rows = []
        for order, event, failure, result in ends:
            self.counters.completed += 1
            rows.append(
                (
                    self.counters.completed,
                    TRANSITIONS[order.state, event],
                    order.attempt_count,
                    order.start_sequence,
                    order.start_time,
                    self.now,
                    failure and failure.code,
                    failure and failure.message,
                    result,
                    order.accept_sequence,
                    order.customer_id,
                    order.tier,
                )
            )
        insert(self.connection, _LOG, rows)
        self.completion_counts.update(end.order.tier for end in ends)
        return [row[0] for row in rows]

    def _watch_expiry(self, waiting_orders: Sequence[WaitingOrder]) -> None:
        """Note the orders' expire_times; an order that does not wait by then does not expire."""
        rows = [(o.expire_time, o.accept_sequence) for o, _ in waiting_orders if o.expire_time]
        if rows:
            insert(self.connection, "expiries", rows, verb="INSERT OR IGNORE")
            self._expect_due([row[0] for row in rows])

    def _expect_due(self, times: Sequence[int]) -> None:
        """Bring `next_due` forward to the earliest of these times, if that is sooner."""
        if times:
            soonest = min(times)
            self.next_due = soonest if self.next_due is None else min(self.next_due, soonest)

    def _count(self, sign: int, state: State, waiting_orders: Sequence[WaitingOrder]) -> None:
        """Count orders that enter or leave the queue or the schedule."""
        for tier, those in _by_tier(waiting_orders).items():
            customer_ids = [order.customer_id for order, _ in those]
            ranks = [entry.rank for _, entry in those] if state is State.QUEUED else ()
            self.backlog.apply(Move(sign, state, tier, len(those), customer_ids, ranks))


def _by_tier(waiting_orders: Sequence[WaitingOrder]) -> dict[Tier, list[WaitingOrder]]:
    tiers: dict[Tier, list[WaitingOrder]] = {}
    for waiting_order in waiting_orders:
        tiers.setdefault(waiting_order.entry.tier, []).append(waiting_order)
    return tiers


def use_rank(connection: sqlite3.Connection, ranking: Ranking) -> None:
    """Let SQL on this connection call the ranking as the function order_rank."""
    connection.create_function("order_rank", 3, ranking.rank, deterministic=True)


_LOG = f"log ({', '.join(LOG_COLUMNS)}, accept_sequence, customer_id, tier)"
_NOTE_FALL = """
INSERT INTO clock_falls SELECT accepted, started, completed,
  (SELECT coalesce(max(rowid), 0) FROM pauses), ? FROM counters
"""
_RERANK_ORDERS = """
UPDATE orders SET rank = order_rank(tier, accept_sequence, accept_time)
WHERE accept_sequence IN (SELECT accept_sequence FROM ready UNION ALL
  SELECT accept_sequence FROM scheduled UNION ALL SELECT accept_sequence FROM leases)
"""
_CUSTOMERS = """
SELECT o.customer_id, count(*) FROM orders o
WHERE o.accept_sequence IN (SELECT accept_sequence FROM ready UNION ALL
                            SELECT accept_sequence FROM scheduled)
GROUP BY o.customer_id
"""
