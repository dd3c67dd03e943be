"""What one commit in PostgreSQL made of the groups of orders that it was to accept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orderintake_server.domain import Completion, Durability, Order, Receipt, State, Tier
from orderintake_server.errors import RequestIdReused
from orderintake_server.store.changes import OverCapacity
from orderintake_server.store.rows import number_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orderintake_server.domain import NewOrder

    Summary = Mapping[str, Any]


class Accepted:
    """Receipts and refusals, written by the numbers that the commit gave."""

    def __init__(self, said: Summary, replays: list[Order | Completion]) -> None:
        """Read a commit's summary, and how those orders stand that were accepted before."""
        self._said = said
        self._replays = {number_of(found): found for found in replays}
        self._pruned = {int(n): found for n, found in (said.get("pruned_orders") or {}).items()}
        self._durability = Durability[said["durability"]]
        self._issued: set[int] = set()
        self._ahead: dict[Tier, int] = {}

    def outcomes(
        self, groups: Sequence[Sequence[NewOrder]]
    ) -> list[tuple[Receipt, ...] | RequestIdReused | OverCapacity]:
        """Write the receipts of each group, or why it was refused."""
        numbers = iter(self._said.get("numbers") or ())
        numbered = [[(next(numbers), order) for order in group] for group in groups]
        self._count_ahead(numbered)
        refused = {group: _refusal(*why) for group, *why in self._said.get("refusals") or ()}
        return [
            refused.get(index) or tuple(self._receipt(number, new) for number, new in group)
            for index, group in enumerate(numbered)
        ]

    def _count_ahead(self, groups: list[list[tuple[int | None, NewOrder]]]) -> None:
        """Count who was in the queue before the first that is new, for each tier.

        A new order is behind all that waits in its tier; a regular one also behind every VIP order;
        and a VIP one, where there is a head start, behind those regular ones that are overdue.
        """
        if "queued_then" not in self._said:
            return
        fresh = {
            number: order
            for group in groups
            for number, order in group
            if number and self._is_new(number) and order.not_before <= self._said["time"]
        }
        regular, vip = self._said["queued_then"]
        vips = sum(order.tier is Tier.VIP for order in fresh.values())
        self._ahead[Tier.REGULAR] = regular + vip - (len(fresh) - vips)
        self._ahead[Tier.VIP] = vip - vips + self._said["overdue"]

    def _is_new(self, number: int) -> bool:
        return bool(number > self._said["accepted_before"])

    def _receipt(self, number: int, new: NewOrder) -> Receipt:
        if not self._is_new(number):
            return self._again(number, new)
        is_repeat = number in self._issued
        order = self._accepted(number, new)
        receipt = self._written(order, after=self._said["completed"], replayed=is_repeat)
        if order.state is State.QUEUED and not is_repeat:
            self._ahead[new.tier] += 1
            receipt = replace(receipt, position=self._ahead[new.tier])
        self._issued.add(number)
        return receipt

    def _accepted(self, number: int, new: NewOrder) -> Order:
        is_later = new.not_before > self._said["time"]
        return Order(
            accept_sequence=number,
            customer_id=new.customer_id,
            tier=new.tier,
            content=new.content,
            accept_time=self._said["accept_time"],
            state=State.SCHEDULED if is_later else State.QUEUED,
            not_before=new.not_before,
            expire_time=new.expire_time,
            redrive_of=new.redrive_of,
        )

    def _again(self, number: int, repeat: NewOrder) -> Receipt:
        """Write the receipt of an order accepted earlier; its completion may be long past."""
        stands = self._replays.get(number)
        if isinstance(stands, Completion):
            return self._written(stands.order, after=stands.sequence - 1, replayed=True)
        order = stands or self._as_pruned(number, repeat)
        return self._written(order, after=self._said["completed"], replayed=True)

    def _as_pruned(self, number: int, repeat: NewOrder) -> Order:
        """Tell an order whose rows are gone; the repeat's equal content says what it was."""
        outcome, accept_time, complete_time = self._pruned[number]
        return replace(
            self._accepted(number, repeat),
            accept_time=accept_time,
            state=State(outcome),
            redrive_of=0,
            complete_time=complete_time,
        )

    def _written(self, order: Order, *, after: int, replayed: bool) -> Receipt:
        return Receipt(order=order, replayed=replayed, after=after, durability=self._durability)


def _refusal(why: str, number: int, text: str | None) -> RequestIdReused | OverCapacity:
    if why == "reused":
        return RequestIdReused(request_id=text or "", accept_sequence=number)
    return OverCapacity(number, text)
