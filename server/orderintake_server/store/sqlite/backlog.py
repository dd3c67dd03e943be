"""Counts of the orders that have not ended, kept up to date: by tier, by customer and by rank."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from orderintake_server.domain import State, Tier
from orderintake_server.views import TierCounts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Hashable, Iterable, Mapping

    from orderintake_server.domain import Ranking
    from orderintake_server.views import CountsByTier

STRICT_BLOCK_BITS = 10
"""Strict ranks are accept sequences: blocks of 1024 orders."""
AGED_BLOCK_BITS = 22
"""Ranks with a head start are microseconds: blocks of 4 seconds."""

_STATES = (State.QUEUED, State.SCHEDULED, State.PROCESSING)


class Move(NamedTuple):
    """Orders enter (+1) or leave (-1) a state in which they have not ended."""

    sign: int
    state: State
    tiers: Mapping[Tier, int]
    """How many orders of each tier."""
    customers: Mapping[str, int] = {}
    """How many of each customer, if they enter or leave what waits."""
    blocks: Mapping[int, int] = {}
    """How many of each block of ranks, if they enter or leave the queue."""


_Item = TypeVar("_Item", bound="Hashable")


def tally(items: Iterable[_Item]) -> dict[_Item, int]:
    """Count equal items; for a few, a Counter takes ten times as long."""
    counts: dict[_Item, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return counts


class Blocks:
    """How many queued orders there are in each block of ranks.

    A position in the queue is the sum of the counts of all blocks before, and of the rows before
    it in its own block. So the work is bounded by the number of blocks and the rows of one block,
    however long the queue is.
    """

    def __init__(self, *, bits: int) -> None:
        """Count by blocks of 2**bits ranks."""
        self.bits = bits
        self._counts: dict[int, int] = {}
        self._sorted: list[int] = []

    def add(self, block: int, count: int) -> None:
        """Count orders that enter a block or (negative) leave it."""
        remaining = self._counts.get(block, 0) + count
        if block not in self._counts:
            insort(self._sorted, block)
        self._counts[block] = remaining
        if not remaining:
            del self._counts[block]
            del self._sorted[bisect_left(self._sorted, block)]

    def before(self, rank: int) -> int:
        """Return how many orders are in the blocks before the block of this rank."""
        end = bisect_left(self._sorted, rank >> self.bits)
        return sum(self._counts[block] for block in self._sorted[:end])


class Backlog:
    """The counts, which follow the transaction: what was counted in it can be rolled back."""

    def __init__(self, ranking: Ranking, *, counts_customers: bool) -> None:
        """Begin with nothing; count by customer only where there is a limit for it."""
        self.blocks = Blocks(bits=STRICT_BLOCK_BITS if ranking.is_strict else AGED_BLOCK_BITS)
        self._counts = {tier: dict.fromkeys(_STATES, 0) for tier in Tier}
        self.counts_customers = counts_customers
        self._customers: dict[str, int] = {}
        self._journal: list[Move] = []

    def counts(self) -> CountsByTier:
        """Return how many orders of each tier are in each state."""
        return {
            tier: TierCounts(
                queued=counts[State.QUEUED],
                scheduled=counts[State.SCHEDULED],
                processing=counts[State.PROCESSING],
            )
            for tier, counts in self._counts.items()
        }

    def queued(self, least: Tier = Tier.REGULAR) -> int:
        """Return how many orders are in the queue, of this tier and those above."""
        of_tiers = self._counts.items()
        return sum([counts[State.QUEUED] for tier, counts in of_tiers if tier >= least])

    def waiting(self) -> int:
        """Return how many orders wait, in the queue or until their time comes."""
        of_tiers = self._counts.values()
        return sum([counts[State.QUEUED] + counts[State.SCHEDULED] for counts in of_tiers])

    def waiting_of(self, customer_id: str) -> int:
        """Return how many orders of a customer wait; 0 when customers are not counted."""
        return self._customers.get(customer_id, 0)

    def load(self, connection: sqlite3.Connection) -> None:
        """Begin with what the tables hold."""
        execute = connection.execute
        for tier in Tier:
            for block, count in execute(_BLOCKS, (tier, self.blocks.bits)):
                self.blocks.add(block, count)
                self._counts[tier][State.QUEUED] += count
        for state, table in ((State.SCHEDULED, "scheduled"), (State.PROCESSING, "leases")):
            counts = execute(_BY_TIER.format(table=table)).fetchone()
            for tier, count in zip(Tier, counts, strict=True):
                self._counts[tier][state] = count
        if self.counts_customers:
            self._customers.update(execute(_CUSTOMERS))

    def apply(self, move: Move) -> None:
        """Count a move, which `commit` keeps and `rollback` undoes."""
        self._journal.append(move)
        self._count(move, move.sign)

    def commit(self) -> None:
        """Keep what was counted since the last commit or rollback."""
        self._journal.clear()

    def rollback(self) -> None:
        """Undo what was counted since the last commit or rollback."""
        while self._journal:
            move = self._journal.pop()
            self._count(move, -move.sign)

    def _count(self, move: Move, sign: int) -> None:
        for tier, count in move.tiers.items():
            self._counts[tier][move.state] += sign * count
        for block, count in move.blocks.items():
            self.blocks.add(block, sign * count)
        for customer_id, count in move.customers.items():
            self._count_customer(customer_id, sign * count)

    def _count_customer(self, customer_id: str, count: int) -> None:
        remaining = self._customers.get(customer_id, 0) + count
        if remaining:
            self._customers[customer_id] = remaining
        else:
            self._customers.pop(customer_id, None)


_BLOCKS = """
WITH RECURSIVE found (block) AS (
  SELECT min(rank) >> ?2 FROM ready WHERE tier = ?1
  UNION ALL
  SELECT (SELECT min(rank) FROM ready WHERE tier = ?1 AND rank >= (block + 1) << ?2) >> ?2
  FROM found WHERE block IS NOT NULL
)
SELECT block, (SELECT count(*) FROM ready
               WHERE tier = ?1 AND rank >= block << ?2 AND rank < (block + 1) << ?2)
FROM found WHERE block IS NOT NULL
"""
"""Walks a tier's index from block to block: to group all rows would take memory for each."""
_BY_TIER = (
    "SELECT "
    + ", ".join(f"count(*) FILTER (WHERE o.tier = {tier:d})" for tier in Tier)
    + " FROM {table} p JOIN orders o ON o.accept_sequence = p.accept_sequence"
)
_CUSTOMERS = """
SELECT o.customer_id, count(*) FROM orders o
WHERE o.accept_sequence IN (SELECT accept_sequence FROM ready UNION ALL
                            SELECT accept_sequence FROM scheduled)
GROUP BY o.customer_id
"""
