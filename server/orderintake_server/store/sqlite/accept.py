"""How one transaction accepts groups of orders, each as a whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from orderintake_server.domain import Order, State, Tier
from orderintake_server.errors import RequestIdReused
from orderintake_server.holders import lease_of
from orderintake_server.store.actions.sqlite import Trail
from orderintake_server.store.changes import OverCapacity
from orderintake_server.store.receipts import Pruned, Receipts, accepted_order, started_order
from orderintake_server.store.sqlite import attempts
from orderintake_server.store.sqlite.backlog import tally
from orderintake_server.store.sqlite.reads import standing
from orderintake_server.store.sqlite.writing.writes import ACCEPT, NAME_REQUEST

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from orderintake_server.domain import Completion, Lease, NewOrder, QueueEntry
    from orderintake_server.holders import Holder
    from orderintake_server.store.changes import Capacity
    from orderintake_server.store.receipts import Decision, Outcome
    from orderintake_server.store.sqlite.unit_of_work import UnitOfWork
    from orderintake_server.store.sqlite.workers.dealer import Dealer


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
        self._spare = capacity.spare(unit.backlog.waiting())
        self._held = _held(unit.reading("requests"), groups)
        self._before = unit.counters.accepted
        """The last number given before: the fresh orders have those after it."""
        self._fresh: list[NewOrder] = []
        self._orders: list[Order] = []
        """The fresh ones, once they are stored."""
        self._queued: list[QueueEntry] = []
        self._started: list[QueueEntry] = []
        self._holders: list[Holder | None] = []
        self._customers: Counter[str] = Counter()
        """Whose the fresh ones are, where there is a limit for each customer."""
        self._pruned: dict[int, Pruned] = {}
        self._repeated: set[int] = set()

    def decide(self, group: Sequence[NewOrder]) -> Decision:
        """Give each order of the group its number, new or held; or refuse it, changing nothing."""
        numbers: list[int] = []
        fresh: list[NewOrder] = []
        named: dict[tuple[str, str], _Held] = {}
        last = self._before + len(self._fresh)
        for order in group:
            held = self._holder(order, named) if order.request_id else None
            if held and held.digest != order.digest:
                return _reused(order, held)
            if held:
                numbers.append(self._again(held))
                continue
            fresh.append(order)
            numbers.append(last + len(fresh))
            if order.request_id:
                named[order.customer_id, order.request_id] = _Held(numbers[-1], order.digest)
        refusal = self._over_capacity(fresh) if fresh else None
        if refusal is not None:
            return refusal
        self._fresh += fresh
        self._held |= named
        if self._capacity.per_customer is not None:
            self._customers.update(order.customer_id for order in fresh)
        return numbers

    def _holder(self, order: NewOrder, named: dict[tuple[str, str], _Held]) -> _Held | None:
        """Return the order that this one's request_id names already; None: it is new itself."""
        key = (order.customer_id, order.request_id or "")
        return self._held.get(key) or named.get(key)

    def _again(self, held: _Held) -> int:
        """Note that an order is placed again; return its number."""
        if held.pruned:
            self._pruned[held.accept_sequence] = held.pruned
        self._repeated.add(held.accept_sequence)
        return held.accept_sequence

    def _over_capacity(self, fresh: Sequence[NewOrder]) -> OverCapacity | None:
        """Tell what limit so many new orders would pass, if any."""
        has_regular = any(order.tier is Tier.REGULAR for order in fresh)
        capacity = self._capacity.regular if has_regular else self._capacity.total
        if len(self._fresh) + len(fresh) > self._spare + capacity:
            return OverCapacity(len(fresh))
        if self._capacity.per_customer is None:
            return None
        for customer_id, count in tally([order.customer_id for order in fresh]).items():
            waiting = self._unit.backlog.waiting_of(customer_id) + self._customers[customer_id]
            if waiting + count > self._capacity.per_customer:
                return OverCapacity(count, customer_id)
        return None

    def store(self, dealer: Dealer | None) -> list[Lease]:
        """Insert what is new, in a few statements; record what operators redrive.

        The most urgent that `dealer` deals start at once, and wait nowhere. Returns their leases.
        """
        unit, counters = self._unit, self._unit.counters
        if not self._fresh:
            return []
        counters.accepted += len(self._fresh)
        counters.accept_time = max(unit.now, counters.accept_time)
        self._orders = [
            accepted_order(number, new, accept_time=counters.accept_time, now=unit.now)
            for number, new in enumerate(self._fresh, self._before + 1)
        ]
        entries = list(map(unit.entry, self._orders))
        unit.write(ACCEPT, list(map(_row, self._fresh, self._orders, entries)))
        unit.write(NAME_REQUEST, self._requests())
        unit.accept_counts.update([order.tier for order in self._orders])
        self._schedule()
        self._queued = [
            entry
            for entry, order in zip(entries, self._orders, strict=True)
            if order.state is State.QUEUED
        ]
        self._started, rest = self._divided(dealer)
        unit.enqueue(list(map(self._order, rest)), rest, are_new=True)
        if copies := self._redrives():
            _mark_redriven(unit.connection, copies)
            Trail(unit.connection, unit.now).redriven(copies)
        return self._start()

    def _order(self, entry: QueueEntry) -> Order:
        return self._orders[entry.accept_sequence - self._before - 1]

    def _schedule(self) -> None:
        """Let those wait whose time has not come."""
        later = [order for order in self._orders if order.state is State.SCHEDULED]
        if later:
            self._unit.schedule(later, [0] * len(later), [order.not_before for order in later])

    def _divided(self, dealer: Dealer | None) -> tuple[list[QueueEntry], list[QueueEntry]]:
        """Divide the most urgent orders from those that wait: all do when one is over already."""
        now = self._unit.now
        if not dealer or any(0 < self._order(entry).expire_time <= now for entry in self._queued):
            return [], self._queued
        by_urgency = sorted(self._queued)
        self._holders = dealer.deal(by_urgency)
        count = len(self._holders)
        return by_urgency[:count], by_urgency[count:]

    def _start(self) -> list[Lease]:
        """Start the orders that do at once."""
        unit, first = self._unit, self._unit.counters.started + 1
        starting = zip(self._started, self._holders, strict=True)
        leases = [
            lease_of(
                started_order(self._order(entry), start_sequence=number, start_time=unit.now),
                0,
                holder,
            )
            for number, (entry, holder) in enumerate(starting, first)
        ]
        attempts.start(unit, leases)
        return leases

    def _requests(self) -> list[tuple[Any, ...]]:
        """Return the rows of the request_ids that the new orders bring."""
        return [
            (new.customer_id, new.request_id, number, bytearray(new.digest), 0, 0, 0)
            for number, new in enumerate(self._fresh, self._before + 1)
            if new.request_id
        ]

    def _redrives(self) -> dict[int, NewOrder]:
        """Return the new orders that are copies, by number."""
        fresh = enumerate(self._fresh, self._before + 1)
        return {number: new for number, new in fresh if new.redrive_of or new.by}

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
        old = {number for number in self._repeated if number <= self._before}
        stands = standing(self._unit.connection, old) if old else {}
        queued = {n: order for n, order in stands.items() if _is_queued(order)}
        return Receipts(
            accepted_before=self._before,
            accept_time=counters.accept_time,
            now=self._unit.now,
            head=counters.completed,
            ahead=self._ahead(before),
            stands=stands,
            positions={n: before(self._unit.entry(o)) + 1 for n, o in queued.items()},
            pruned=self._pruned,
            fresh=dict(enumerate(self._orders, self._before + 1)),
        ).of(groups, decisions)

    def _ahead(self, before: Callable[[QueueEntry], int]) -> dict[Tier, int]:
        """Count who stood in the queue before the first new order of each tier.

        Those that started at once stood there too.
        """
        if not self._unit.policy.ranking.is_strict:
            firsts = {entry.tier: entry for entry in reversed(self._queued)}
            return {t: before(e) + sum(s < e for s in self._started) for t, e in firsts.items()}
        new = tally([entry.tier for entry in self._queued])
        started = [entry.tier for entry in self._started]
        return {
            tier: self._unit.backlog.queued(tier) + sum(t >= tier for t in started) - count
            for tier, count in new.items()
        }


def _mark_redriven(connection: sqlite3.Connection, copies: Mapping[int, NewOrder]) -> None:
    """Let the log tell of each order that is redriven by which copy; the first one counts."""
    connection.executemany(
        "UPDATE log SET copy = ? WHERE accept_sequence = ? AND copy = 0",
        [(number, copy.redrive_of) for number, copy in copies.items()],
    )


def _row(new: NewOrder, order: Order, entry: QueueEntry) -> tuple[Any, ...]:
    return (
        *(order.accept_sequence, order.customer_id, int(order.tier), entry.rank),
        *(order.accept_time, bytearray(order.content), new.request_id),
        *(order.not_before, order.expire_time, order.redrive_of, order.trace),
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
