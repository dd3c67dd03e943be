"""The promise of store/base.py again, in plain lists and dicts: what stores are held against."""

from collections.abc import Sequence
from dataclasses import replace

from orderintake_server.domain import Completion, NewOrder, Order, Receipt, State, Waiting, rank
from orderintake_server.errors import RequestIdReused
from orderintake_server.store.base import Changes, Committed, Lease, NoRoom, Settlement


class StoreModel:
    """Knows what a store must answer, but for the times."""

    def __init__(self) -> None:
        self.log: list[Completion] = []
        self._orders: dict[int, Order] = {}
        self._named: dict[tuple[str, str], int] = {}
        self._started = 0

    def commit(self, changes: Changes) -> Committed:
        """Make the changes; tell what the store must say."""
        settled = [self._settle(settlement) for settlement in changes.settles]
        returned = [self._give_back(lease) for lease in changes.returns]
        last = len(self._orders) + changes.room
        return Committed(
            settled=settled,
            returned=returned,
            accepted=[self._accept(group, last=last) for group in changes.accepts],
            claimed=[self._claim(place) for place in changes.claims],
            page=self._page(changes),
            head=len(self.log),
        )

    def recover(self) -> int:
        """Put back in the queue what is in process; tell how many."""
        running = [o for o in self._orders.values() if o.state is State.PROCESSING]
        for order in running:
            self._wait_again(order, order.attempt_count)
        return len(running)

    def queue(self) -> list[Waiting]:
        """Tell who waits: by tier, then by accept sequence."""
        waiting = [o for o in self._orders.values() if o.state is State.QUEUED]
        return [_place(o) for o in sorted(waiting, key=lambda o: (-o.tier, o.accept_sequence))]

    def find(self, accept_sequence: int) -> Order | Completion | None:
        """Tell how an order stands."""
        ends = {completion.order.accept_sequence: completion for completion in self.log}
        return ends.get(accept_sequence) or self._orders.get(accept_sequence)

    def place(self, accept_sequence: int) -> Waiting:
        """Tell where in the queue an order is or was, if there ever was such an order."""
        order = self._orders.get(accept_sequence)
        return _place(order) if order else Waiting(0, accept_sequence, 0)

    def _settle(self, settlement: Settlement) -> int | None:
        if not self._is_good(settlement.lease):
            return None
        state = State.FAILED if settlement.ending.failure else State.SUCCEEDED
        order = replace(bare(settlement.lease.order), state=state)
        self._orders[order.accept_sequence] = order
        self.log.append(
            Completion(sequence=len(self.log) + 1, order=order, ending=settlement.ending)
        )
        return len(self.log)

    def _give_back(self, lease: Lease) -> Waiting | None:
        if not self._is_good(lease):
            return None
        return self._wait_again(lease.order, lease.order.attempt_count - 1)

    def _is_good(self, lease: Lease) -> bool:
        order = self._orders[lease.order.accept_sequence]
        is_running = order.state is State.PROCESSING
        return is_running and order.start_sequence == lease.order.start_sequence

    def _wait_again(self, order: Order, attempt_count: int) -> Waiting:
        self._orders[order.accept_sequence] = replace(
            bare(order), state=State.QUEUED, attempt_count=attempt_count, start_sequence=0
        )
        return self.place(order.accept_sequence)

    def _accept(
        self, group: Sequence[NewOrder], *, last: int
    ) -> tuple[Receipt, ...] | RequestIdReused | NoRoom:
        orders, named = dict(self._orders), dict(self._named)
        receipts = []
        for new in group:
            key = (new.customer_id, new.request_id or "")
            number = named.get(key) if new.request_id else None
            if number is not None and orders[number].content != new.content:
                return RequestIdReused(request_id=key[1], accept_sequence=number)
            is_fresh = number is None
            if number is None:
                number = named[key] = len(orders) + 1
                orders[number] = _accepted(new, number)
            receipts.append(self._receipt(orders[number], is_fresh=is_fresh))
        if len(self._orders) < len(orders) and len(orders) > last:
            return NoRoom(len(orders) - len(self._orders))
        self._orders, self._named = orders, named
        return tuple(receipts)

    def _receipt(self, order: Order, *, is_fresh: bool) -> Receipt:
        found = self.find(order.accept_sequence)
        behind = found.sequence - 1 if isinstance(found, Completion) else len(self.log)
        return Receipt(order=order, replayed=not is_fresh, behind=behind)

    def _claim(self, place: Waiting) -> Lease | None:
        if place not in self.queue():
            return None
        self._started += 1
        order = replace(
            self._orders[place.accept_sequence],
            state=State.PROCESSING,
            attempt_count=place.attempt_count + 1,
            start_sequence=self._started,
        )
        self._orders[order.accept_sequence] = order
        return Lease(order=order, rank=place.rank)

    def _page(self, changes: Changes) -> list[Waiting]:
        page = changes.page
        if page is None:
            return []
        return [place for place in self.queue() if place[:2] > page.after[:2]][: page.limit]


def _accepted(new: NewOrder, number: int) -> Order:
    return Order(
        accept_sequence=number,
        tier=new.tier,
        content=new.content,
        accept_time=0,
        state=State.QUEUED,
    )


def _place(order: Order) -> Waiting:
    number = order.accept_sequence
    return Waiting(rank(order.tier, number), number, order.attempt_count)


def bare(order: Order) -> Order:
    """Leave the times of an order out."""
    return replace(order, accept_time=0, start_time=0, complete_time=0)
