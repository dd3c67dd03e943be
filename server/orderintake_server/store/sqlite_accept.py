"""How one transaction accepts groups of orders, each as a whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.domain import Completion, Order, Receipt, State, rank
from orderintake_server.errors import RequestIdReused
from orderintake_server.store.base import NoRoom
from orderintake_server.store.sqlite_rows import insert, standing

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from orderintake_server.domain import NewOrder


class _Held(NamedTuple):
    """The order that a customer's request_id names."""

    accept_sequence: int
    digest: bytes


class Acceptance:
    """The orders that one transaction accepts, on top of the `last` accept sequence so far."""

    def __init__(
        self, connection: sqlite3.Connection, groups: Sequence[Sequence[NewOrder]], *, last: int
    ) -> None:
        """Look up which request_ids of the groups are taken."""
        self._connection = connection
        self._held = _held(connection, groups)
        self._fresh: dict[int, NewOrder] = {}
        self._last = last

    def decide(
        self, group: Sequence[NewOrder], *, room: int
    ) -> list[int] | RequestIdReused | NoRoom:
        """Give each order of the group its number, new or held; or refuse it, changing nothing.

        `room` is how many orders this transaction may accept in all.
        """
        numbers: list[int] = []
        fresh: dict[int, NewOrder] = {}
        named: dict[tuple[str, str], _Held] = {}
        for order in group:
            key = (order.customer_id, order.request_id or "")
            held = self._held.get(key) or named.get(key)
            if held is None:
                held = _Held(self._last + len(self._fresh) + len(fresh) + 1, order.digest)
                fresh[held.accept_sequence] = order
                if order.request_id:
                    named[key] = held
            elif held.digest != order.digest:
                return RequestIdReused(request_id=key[1], accept_sequence=held.accept_sequence)
            numbers.append(held.accept_sequence)
        if fresh and len(self._fresh) + len(fresh) > room:
            return NoRoom(len(fresh))
        self._fresh |= fresh
        self._held |= named
        return numbers

    def store(self, *, now: int) -> int:
        """Insert what is new, in a few statements; return the last accept sequence given."""
        fresh = self._fresh.items()
        ranked = [(rank(order.tier, number), number, order) for number, order in fresh]
        insert(
            self._connection,
            "orders",
            [(n, o.customer_id, o.tier, key, now, o.content) for key, n, o in ranked],
        )
        insert(self._connection, "ready", [(key, n, 0) for key, n, _ in ranked])
        insert(
            self._connection,
            "requests",
            [(o.customer_id, o.request_id, n, o.digest) for n, o in fresh if o.request_id],
        )
        return self._last + len(fresh)

    def receipts(
        self, decisions: list[list[int] | RequestIdReused | NoRoom], *, now: int, head: int
    ) -> list[tuple[Receipt, ...] | RequestIdReused | NoRoom]:
        """Write the receipts of every group that was accepted, once its orders are stored."""
        accepted = [numbers for numbers in decisions if isinstance(numbers, list)]
        replayed = {n for numbers in accepted for n in numbers if n not in self._fresh}
        stands = standing(self._connection, replayed) if replayed else {}
        issued: set[int] = set()

        def receipt(number: int) -> Receipt:
            if number in stands:
                return _again(stands[number], head=head)
            repeated = number in issued
            issued.add(number)
            order = _accepted(number, self._fresh[number], now)
            return Receipt(order=order, replayed=repeated, behind=head)

        return [
            tuple(map(receipt, numbers)) if isinstance(numbers, list) else numbers
            for numbers in decisions
        ]


def _accepted(number: int, order: NewOrder, now: int) -> Order:
    return Order(
        accept_sequence=number,
        tier=order.tier,
        content=order.content,
        accept_time=now,
        state=State.QUEUED,
    )


def _again(stands: Order | Completion, *, head: int) -> Receipt:
    """Write the receipt of an order accepted earlier; its completion may be long past."""
    if isinstance(stands, Completion):
        return Receipt(order=stands.order, replayed=True, behind=stands.sequence - 1)
    return Receipt(order=stands, replayed=True, behind=head)


_HELD = """
SELECT q.customer_id, q.request_id, q.accept_sequence, q.digest
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
    return {(customer_id, request_id): _Held(*held) for customer_id, request_id, *held in rows}
