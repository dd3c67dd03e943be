"""What waits, counted as it changes: by tier, by customer, and by rank."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.domain import State, Tier
from orderintake_server.views import TierCounts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orderintake_server.views import CountsByTier

_STANDS = (State.QUEUED, State.SCHEDULED, State.PROCESSING)


class CountChange(NamedTuple):
    """One order comes to (+1) or leaves (-1) one of the places where it has not ended."""

    sign: int
    state: State
    tier: Tier
    customer_id: str
    rank: int


class Blocks:
    """How many queued orders there are in each stretch of ranks.

    A place in the queue is the count of all stretches before, and of a part of one: never more work
    than there are stretches, and rows in one of them, however long the queue.
    """

    def __init__(self, *, bits: int) -> None:
        """Count by stretches of 2**bits ranks."""
        self.bits = bits
        self._counts: dict[int, int] = {}
        self._sorted: list[int] = []

    def add(self, rank: int, count: int) -> None:
        """Count orders that come to their stretch, or (negative) leave it."""
        block = rank >> self.bits
        left = self._counts.get(block, 0) + count
        if block not in self._counts:
            insort(self._sorted, block)
        self._counts[block] = left
        if not left:
            del self._counts[block]
            del self._sorted[bisect_left(self._sorted, block)]

    def before(self, rank: int) -> int:
        """Count the orders in the stretches before the one of this rank."""
        end = bisect_left(self._sorted, rank >> self.bits)
        return sum(self._counts[block] for block in self._sorted[:end])


class Backlog:
    """The counts, in step with the transaction: what is counted in it can be taken back."""

    def __init__(self, *, block_bits: int, counts_customers: bool) -> None:
        """Begin with nothing; count customers too only where somebody will ask."""
        self.blocks = Blocks(bits=block_bits)
        self._counts = {tier: dict.fromkeys(_STANDS, 0) for tier in Tier}
        self._customers: dict[str, int] | None = {} if counts_customers else None
        self._journal: list[CountChange] = []

    def counts(self) -> CountsByTier:
        """Tell how many orders of each tier stand where."""
        return {
            tier: TierCounts(
                queued=counts[State.QUEUED],
                scheduled=counts[State.SCHEDULED],
                processing=counts[State.PROCESSING],
            )
            for tier, counts in self._counts.items()
        }

    def waiting_of(self, customer_id: str) -> int:
        """Tell how many orders of a customer wait; 0 when customers are not counted."""
        return self._customers.get(customer_id, 0) if self._customers else 0

    def load(self, tier: Tier, state: State, count: int) -> None:
        """Begin with so many orders of a tier in this state; blocks and customers apart."""
        self._counts[tier][state] = count

    def load_customers(self, counts: Iterable[tuple[str, int]]) -> None:
        """Begin with so many waiting orders of each customer."""
        for customer_id, count in counts:
            self._count_customer(customer_id, count)

    def move(self, move: CountChange) -> None:
        """Count a move, until it is kept or taken back."""
        self._journal.append(move)
        self._count(move)

    def commit(self) -> None:
        """Let what was counted since the last time stand."""
        self._journal.clear()

    def rollback(self) -> None:
        """Undo what was counted since the last time."""
        while self._journal:
            move = self._journal.pop()
            self._count(move._replace(sign=-move.sign))

    def _count(self, move: CountChange) -> None:
        self._counts[move.tier][move.state] += move.sign
        if move.state is State.QUEUED:
            self.blocks.add(move.rank, move.sign)
        if move.state is not State.PROCESSING:
            self._count_customer(move.customer_id, move.sign)

    def _count_customer(self, customer_id: str, count: int) -> None:
        if self._customers is None:
            return
        left = self._customers.get(customer_id, 0) + count
        if left:
            self._customers[customer_id] = left
        else:
            self._customers.pop(customer_id, None)
