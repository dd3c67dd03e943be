"""The orders of a model of a store, and what can be read of them: by sorting and counting."""

from collections import Counter
from dataclasses import dataclass, replace

from orderintake_server.domain import (
    ENDED,
    Completion,
    Event,
    Failure,
    NewOrder,
    Order,
    QueueEntry,
    State,
    Tier,
)
from orderintake_server.holders import Holder
from orderintake_server.store.base import Policy
from orderintake_server.views import CountsByTier, FailedOrder, Selection, TierCounts

WAITS = (State.QUEUED, State.SCHEDULED)
"""The states in which an order waits."""


@dataclass(kw_only=True)
class Held:
    """An order that was accepted, and what is known of it beside how it stands."""

    new: NewOrder
    order: Order
    crashes: int = 0
    due: int = 0
    is_to_stop: bool = False
    is_gone: bool = False
    copy: int = 0
    holder: Holder | None = None
    deadline: int = 0


class Orders:
    """Every order that was ever accepted, by its accept sequence."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.ends: list[Completion] = []
        self.earliest = 0
        self.paused: frozenset[Tier] = frozenset()
        self.held: dict[int, Held] = {}

    @property
    def head(self) -> int:
        return len(self.ends)

    def log(self, after: int) -> list[Completion]:
        """Tell what ended behind a place."""
        return self.ends[after:]

    def failures(self, wanted: Selection) -> list[FailedOrder]:
        """Tell what failed and matches, in that order."""
        failed = [
            FailedOrder(end, self.held[end.order.accept_sequence].copy)
            for end in self.ends[self.earliest :]
            if end.failure and end.failure.code in (wanted.codes or (end.failure.code,))
        ]
        return [
            each
            for each in failed
            if _matches(wanted, each.completion.order, each.completion.order.complete_time)
            and (wanted.is_redriven_too or not each.copy)
        ]

    def waiting_orders(self, wanted: Selection) -> list[int]:
        """Tell who waits and matches, in the order of acceptance."""
        waiting = [held.order for held in self.standing() if held.order.state in WAITS]
        return [o.accept_sequence for o in waiting if _matches(wanted, o, o.accept_time)]

    def queue(self) -> list[QueueEntry]:
        """Tell who waits in the queue, by sorting them."""
        return sorted(
            self.waiting(held) for held in self.standing() if held.order.state is State.QUEUED
        )

    def startable(self) -> list[QueueEntry]:
        """Tell who waits in the queue and may start."""
        return [place for place in self.queue() if place.tier not in self.paused]

    def find(self, accept_sequence: int) -> Order | Completion | None:
        """Tell how an order stands."""
        held = self.held.get(accept_sequence)
        if held is None or held.is_gone:
            return None
        if held.order.state in ENDED:
            return next(end for end in self.ends if end.order is held.order)
        return held.order

    def position(self, accept_sequence: int) -> int:
        """Tell an order's place in the queue."""
        places = [place.accept_sequence for place in self.queue()]
        return places.index(accept_sequence) + 1 if accept_sequence in places else 0

    def orders(self) -> list[Order]:
        """Tell all that is not forgotten."""
        return [held.order for held in self.held.values() if not held.is_gone]

    def counts(self) -> CountsByTier:
        """Tell how many orders of each tier stand where, by counting them."""
        counts = Counter((held.order.tier, held.order.state) for held in self.standing())
        return {
            tier: TierCounts(
                queued=counts[tier, State.QUEUED],
                scheduled=counts[tier, State.SCHEDULED],
                processing=counts[tier, State.PROCESSING],
            )
            for tier in Tier
        }

    def waiting_of(self, customer_id: str) -> int:
        """Count the orders of a customer that wait."""
        return sum(
            held.order.state in WAITS and held.new.customer_id == customer_id
            for held in self.standing()
        )

    def waiting(self, held: Held) -> QueueEntry:
        """Tell where in the queue an order is, or would be."""
        order = held.order
        rank = self.policy.ranking.rank(order.tier, order.accept_sequence, order.accept_time)
        return QueueEntry(rank, order.accept_sequence, order.tier, held.crashes)

    def standing(self) -> list[Held]:
        """Tell what has not ended."""
        return [held for held in self.held.values() if held.order.state not in ENDED]

    def next_due(self) -> int | None:
        """Tell when something that waits falls due or expires, or a worker's attempt is overdue."""
        waiting = [held for held in self.standing() if held.order.state in WAITS]
        due = [held.due for held in waiting if held.order.state is State.SCHEDULED]
        over = [held.new.expire_time for held in waiting if held.new.expire_time]
        running = [held for held in self.standing() if held.order.state is State.PROCESSING]
        return min(due + over + [held.deadline for held in running if held.deadline], default=None)


def _matches(wanted: Selection, order: Order, time: int) -> bool:
    is_named = wanted.numbers is None or order.accept_sequence in wanted.numbers
    is_of = wanted.customer_id in (None, order.customer_id) and wanted.tier in (None, order.tier)
    is_labelled = wanted.has_labels is None or wanted.has_labels(order.content)
    return is_named and is_of and is_labelled and wanted.since <= time < wanted.until


OUTCOMES = {
    Event.SUCCEED: State.SUCCEEDED,
    Event.FAIL: State.FAILED,
    Event.QUARANTINE: State.FAILED,
    Event.CANCEL: State.CANCELLED,
    Event.EXPIRE: State.EXPIRED,
}
"""How orders end by what happens to them."""


def accepted(new: NewOrder, number: int, now: int) -> Order:
    """Write an order as it is accepted, before it is known where it waits."""
    return Order(
        accept_sequence=number,
        customer_id=new.customer_id,
        tier=new.tier,
        content=new.content,
        accept_time=now,
        state=State.SCHEDULED,
        not_before=new.not_before,
        expire_time=new.expire_time,
        redrive_of=new.redrive_of,
        trace=new.trace,
    )


def unstarted(order: Order) -> Order:
    """Leave out when an order started."""
    return replace(order, state=State.QUEUED, start_sequence=0, start_time=0)


def remembered(order: Order) -> Order:
    """Leave out what is not known of an order that was forgotten."""
    return replace(order, attempt_count=0, start_sequence=0, start_time=0, redrive_of=0, trace=None)


def quarantined(crashes: int) -> Failure:
    """Tell why an order was set aside."""
    return Failure(
        code="QUARANTINED", message=f"the process died during {crashes} attempts of this order"
    )
