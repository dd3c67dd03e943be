"""How one transaction accepts groups of orders, each as a whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from orderintake_server.domain import Order, State, Tier
from orderintake_server.errors import RequestIdReused
from orderintake_server.store.actions.sqlite import Trail
from orderintake_server.store.changes import OverCapacity
from orderintake_server.store.receipts import Pruned, Receipts, accepted_order
from orderintake_server.store.sqlite.reads import standing
from orderintake_server.store.sqlite.statements import insert

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from orderintake_server.domain import Completion, NewOrder, QueueEntry
    from orderintake_server.store.changes import Capacity
    from orderintake_server.store.receipts import Decision, Outcome
    from orderintake_server.store.sqlite.unit_of_work import UnitOfWork, WaitingOrder


class _Held(NamedTuple):
    """The order that a customer's request_id names, and what became of it if it was pruned."""

    accept_sequence: int
    digest: bytes
    pruned: Pruned | None = None


def _reused(order: NewOrder, held: _Held) -> RequestIdReused:
    return RequestIdReused(request_id=order.request_id or "", accept_sequence=held.accept_sequence)


class Acceptance:
    """The orders that one transaction accepts, within the room there is."""

    def __init__(
        self, unit: UnitOfWork, groups: Sequence[Sequence[NewOrder]], capacity: Capacity
    ) -> None:
        """Look up which request_ids of the groups are taken."""
        self._unit = unit
        self._capacity = capacity
        waiting = sum(t.queued + t.scheduled for t in unit.backlog.counts().values())
        self._spare = capacity.spare(waiting)
        self._held = _held(unit.connection, groups)
        self._fresh: dict[int, NewOrder] = {}
        self._orders: dict[int, Order] = {}
        """The fresh ones, once they are stored."""
        self._queued: list[WaitingOrder] = []
        self._started: list[WaitingOrder] = []
        self._customers: Counter[str] = Counter()
        self._pruned: dict[int, Pruned] = {}
        self._repeated: set[int] = set()

    def decide(self, group: Sequence[NewOrder]) -> Decision:
        """Give each order of the group its number, new or held; or refuse it, changing nothing."""
        numbers: list[int] = []
        fresh: dict[int, NewOrder] = {}
        named: dict[tuple[str, str], _Held] = {}
        for order in group:
            held = self._holder(order, named)
            if held and held.digest != order.digest:
                return _reused(order, held)
            numbers.append(self._again(held) if held else self._new(order, fresh, named))
        refusal = self._over_capacity(fresh.values())
        if refusal is not None:
            return refusal
        self._fresh |= fresh
        self._held |= named
        self._customers.update(order.customer_id for order in fresh.values())
        return numbers

    def _holder(self, order: NewOrder, named: dict[tuple[str, str], _Held]) -> _Held | None:
        """Return the order that this one's request_id names already; None: it is new itself."""
        if not order.request_id:
            return None
        key = (order.customer_id, order.request_id)
        return self._held.get(key) or named.get(key)

    def _new(
        self, order: NewOrder, fresh: dict[int, NewOrder], named: dict[tuple[str, str], _Held]
    ) -> int:
        """Give a new order the next number."""
        number = self._next_number(len(fresh))
        fresh[number] = order
        if order.request_id:
            named[order.customer_id, order.request_id] = _Held(number, order.digest)
        return number

    def _again(self, held: _Held) -> int:
        """Note that an order is placed again; return its number."""
        if held.pruned:
            self._pruned[held.accept_sequence] = held.pruned
        self._repeated.add(held.accept_sequence)
        return held.accept_sequence

    def _next_number(self, ahead: int) -> int:
        return self._unit.counters.accepted + len(self._fresh) + ahead + 1

    def _over_capacity(self, fresh: Iterable[NewOrder]) -> OverCapacity | None:
        """Tell what limit so many new orders would pass, if any."""
        orders = list(fresh)
        total = len(self._fresh) + len(orders)
        has_regular = any(order.tier is Tier.REGULAR for order in orders)
        capacity = self._spare + (self._capacity.regular if has_regular else self._capacity.total)
        if orders and total > capacity:
            return OverCapacity(len(orders))
        if self._capacity.per_customer is None:
            return None
        for customer_id, count in Counter(order.customer_id for order in orders).items():
            waiting = self._unit.backlog.waiting_of(customer_id) + self._customers[customer_id]
            if waiting + count > self._capacity.per_customer:
                return OverCapacity(count, customer_id)
        return None

    def store(self, room: int) -> list[WaitingOrder]:
        """Insert what is new, in a few statements; record what operators redrive.

        Returns the orders that may start at once, the `room` most urgent ones: they wait nowhere.
        """
        unit = self._unit
        counters = unit.counters
        counters.accepted += len(self._fresh)
        if self._fresh:
            counters.accept_time = max(unit.now, counters.accept_time)
        movers = [unit.waiting(self._order(*item)) for item in self._fresh.items()]
        insert(unit.connection, "orders", list(map(self._row, movers)))
        insert(unit.connection, "requests", self._requests())
        unit.accept_counts.update(entry.tier for _, entry in movers)
        later = [mover for mover in movers if mover.order.state is State.SCHEDULED]
        if later:
            unit.schedule(later, [mover.order.not_before for mover in later])
        self._queued = [mover for mover in movers if mover.order.state is State.QUEUED]
        self._started, rest = self._divided(room)
        unit.enqueue(rest)
        _mark_redriven(unit.connection, self._fresh)
        Trail(unit.connection, unit.now).redriven(self._fresh)
        return self._started

    def _divided(self, room: int) -> tuple[list[WaitingOrder], list[WaitingOrder]]:
        """Divide the most urgent orders from those that wait: all do when one is over already."""
        now = self._unit.now
        if not room or any(0 < order.expire_time <= now for order, _ in self._queued):
            return [], self._queued
        by_urgency = sorted(self._queued, key=attrgetter("entry"))
        return by_urgency[:room], by_urgency[room:]

    def _order(self, number: int, new: NewOrder) -> Order:
        """Make an order, and remember it for its receipt."""
        accept_time, now = self._unit.counters.accept_time, self._unit.now
        order = accepted_order(number, new, accept_time=accept_time, now=now)
        self._orders[number] = order
        return order

    def _row(self, mover: WaitingOrder) -> tuple[Any, ...]:
        order, (rank, number, tier, _) = mover
        request_id = self._fresh[number].request_id
        return (
            *(number, order.customer_id, tier, rank, order.accept_time),
            memoryview(order.content),  # SQLite would keep a text as one
            *(request_id, order.not_before, order.expire_time, order.redrive_of, order.trace),
        )

    def _requests(self) -> list[tuple[Any, ...]]:
        """Return the rows of the request_ids that the new orders bring."""
        return [
            (new.customer_id, new.request_id, number, new.digest, 0, 0, 0)
            for number, new in self._fresh.items()
            if new.request_id
        ]

    def receipts(
        self,
        groups: Sequence[Sequence[NewOrder]],
        decisions: Sequence[Decision],
        before: Callable[[QueueEntry], int],
    ) -> list[Outcome]:
        """Write the receipts of every group that was accepted, once its orders are stored.

        `before` counts the orders ahead of a place in the queue.
        """
        counters = self._unit.counters
        old = self._repeated - self._fresh.keys()
        stands = standing(self._unit.connection, old) if old else {}
        queued = {n: order for n, order in stands.items() if _is_queued(order)}
        return Receipts(
            accepted_before=counters.accepted - len(self._fresh),
            accept_time=counters.accept_time,
            now=self._unit.now,
            head=counters.completed,
            ahead=self._ahead(before),
            stands=stands,
            positions={n: before(self._unit.waiting(o).entry) + 1 for n, o in queued.items()},
            pruned=self._pruned,
            fresh=self._orders,
        ).of(groups, decisions)

    def _ahead(self, before: Callable[[QueueEntry], int]) -> dict[Tier, int]:
        """Count who stood in the queue before the first new order of each tier.

        Those that started at once stood there too.
        """
        new = Counter(entry.tier for _, entry in self._queued)
        if not self._unit.policy.ranking.is_strict:
            firsts = {entry.tier: entry for _, entry in reversed(self._queued)}
            started = [entry for _, entry in self._started]
            return {t: before(e) + sum(s < e for s in started) for t, e in firsts.items()}
        counts, started_of = self._unit.backlog.counts(), Counter(e.tier for _, e in self._started)
        return {
            tier: sum(counts[t].queued + started_of[t] for t in Tier if t >= tier) - new[tier]
            for tier in new
        }


def _mark_redriven(connection: sqlite3.Connection, fresh: Mapping[int, NewOrder]) -> None:
    """Let the log tell of each order that is redriven by which copy; the first one counts."""
    copies = [(number, new.redrive_of) for number, new in fresh.items() if new.redrive_of]
    if copies:
        connection.executemany(
            "UPDATE log SET copy = ? WHERE accept_sequence = ? AND copy = 0", copies
        )


def _is_queued(stands: Order | Completion) -> TypeGuard[Order]:
    return isinstance(stands, Order) and stands.state is State.QUEUED


_HELD = """
SELECT q.customer_id, q.request_id, q.accept_sequence, q.digest,
  q.outcome, q.accept_time, q.complete_time
FROM json_each(?) k CROSS JOIN requests q
  ON q.customer_id = json_extract(k.value, '$[0]') AND q.request_id = json_extract(k.value, '$[1]')
"""


def _held(
    connection: sqlite3.Connection, groups: Sequence[Sequence[NewOrder]]
) -> dict[tuple[str, str], _Held]:
    """Read which of the groups' request_ids are taken, and by which orders."""
    keys = [(o.customer_id, o.request_id) for group in groups for o in group if o.request_id]
    if not keys:
        return {}
    rows = connection.execute(_HELD, (json.dumps(keys),))
    return {
        (customer_id, request_id): _Held(number, digest, Pruned(*end) if end[0] else None)
        for customer_id, request_id, number, digest, *end in rows
    }
