"""How a commit's receipts follow from the numbers that it gave, whichever engine gave them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.domain import (
    TRANSITIONS,
    Completion,
    Durability,
    Event,
    Order,
    Receipt,
    State,
    Tier,
)
from orderintake_server.errors import RequestIdReused
from orderintake_server.store.changes import OverCapacity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orderintake_server.domain import NewOrder

Decision = list[int] | RequestIdReused | OverCapacity
"""The numbers of a group's orders, new or held; or why the group was refused."""
Outcome = tuple[Receipt, ...] | RequestIdReused | OverCapacity


class Pruned(NamedTuple):
    """What a request_id tells of an order that was forgotten."""

    outcome: int
    accept_time: int
    complete_time: int


def accepted_order(number: int, new: NewOrder, *, accept_time: int, now: int) -> Order:
    """Tell how an order stands that is accepted now."""
    return Order(
        accept_sequence=number,
        customer_id=new.customer_id,
        tier=new.tier,
        content=new.content,
        accept_time=accept_time,
        state=State.SCHEDULED if new.not_before > now else State.QUEUED,
        not_before=new.not_before,
        expire_time=new.expire_time,
        redrive_of=new.redrive_of,
        trace=new.trace,
    )


def started_order(order: Order, *, start_sequence: int, start_time: int) -> Order:
    """Tell how an order of the queue stands once another attempt has started."""
    return Order(
        accept_sequence=order.accept_sequence,
        customer_id=order.customer_id,
        tier=order.tier,
        content=order.content,
        accept_time=order.accept_time,
        state=TRANSITIONS[order.state, Event.CLAIM],
        not_before=order.not_before,
        expire_time=order.expire_time,
        redrive_of=order.redrive_of,
        trace=order.trace,
        attempt_count=order.attempt_count + 1,
        start_sequence=start_sequence,
        start_time=start_time,
    )


@dataclass(slots=True, kw_only=True)
class Receipts:
    """What a commit knows of the orders that it was asked to accept, to write their receipts."""

    accepted_before: int
    """The last number that was given before: higher ones are new."""
    accept_time: int
    now: int
    head: int
    durability: Durability = Durability.FSYNC
    ahead: dict[Tier, int]
    """How many orders stand in the queue before the next new one of each tier."""
    stands: Mapping[int, Order | Completion]
    """How those stand that were accepted before, unless they were pruned."""
    positions: Mapping[int, int] = field(default_factory=dict)
    """The places of those in the queue, as far as they are known."""
    pruned: Mapping[int, Pruned]
    fresh: Mapping[int, Order] = field(default_factory=dict)
    """The new orders, as far as they have been made already."""
    _new: dict[int, Receipt] = field(init=False, default_factory=dict)

    def of(
        self, groups: Sequence[Sequence[NewOrder]], decisions: Sequence[Decision]
    ) -> list[Outcome]:
        """Write the receipts of each group, or tell why it was refused."""
        return [
            tuple(map(self._receipt, found, group)) if isinstance(found, list) else found
            for group, found in zip(groups, decisions, strict=True)
        ]

    def _receipt(self, number: int, new: NewOrder) -> Receipt:
        if number <= self.accepted_before:
            return self._again(number, new)
        if number in self._new:
            return replace(self._new[number], replayed=True)
        order = self.fresh.get(number) or accepted_order(
            number, new, accept_time=self.accept_time, now=self.now
        )
        position = 0
        if order.state is State.QUEUED:
            self.ahead[new.tier] += 1
            position = self.ahead[new.tier]
        self._new[number] = Receipt(
            order=order,
            replayed=False,
            after=self.head,
            position=position,
            durability=self.durability,
        )
        return self._new[number]

    def _again(self, number: int, repeat: NewOrder) -> Receipt:
        """Write the receipt of an order accepted earlier; its completion may be long past."""
        stands = self.stands.get(number) or self._as_pruned(number, repeat)
        order, after = _at(stands, self.head)
        is_queued = order.state is State.QUEUED
        return Receipt(
            order=order,
            replayed=True,
            after=after,
            position=self.positions.get(number) if is_queued else 0,
            durability=self.durability,
        )

    def _as_pruned(self, number: int, repeat: NewOrder) -> Order:
        """Tell an order whose rows are gone; the repeat's equal content says what it was."""
        found = self.pruned[number]
        order = accepted_order(number, repeat, accept_time=found.accept_time, now=self.now)
        outcome, complete_time = State(found.outcome), found.complete_time
        return replace(order, state=outcome, redrive_of=0, trace=None, complete_time=complete_time)


def restated(receipt: Receipt, stands: Order | Completion, position: int) -> Receipt:
    """Tell by a repeat's receipt how the order stands now, which is a little later."""
    order, after = _at(stands, receipt.after)
    return replace(receipt, order=order, after=after, position=position)


def _at(stands: Order | Completion, head: int) -> tuple[Order, int]:
    """Give the order, and a place of the log that its completion comes after."""
    if isinstance(stands, Completion):
        return stands.order, stands.sequence - 1
    return stands, head
