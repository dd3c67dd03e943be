"""The promise every store makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from orderintake_server.domain import Ranking, Tier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orderintake_server.domain import Completion, Order
    from orderintake_server.store.changes import Changes, Committed, StoreState
    from orderintake_server.views import CountsByTier, LogPage, OrderFilter

COMPLETION_BYTES = 256
"""What a completion takes when it is told, beside its order's content and its ending: at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a store needs to know of the service's settings."""

    ranking: Ranking = field(default_factory=Ranking)
    max_crashes: int = 3
    """An order is quarantined when the process has died so many times during its attempts."""
    counts_customers: bool = False
    """Whether the waiting orders of each customer are counted, for a limit of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryReport:
    """What the store held when it was opened, with nothing in process any more."""

    log_id: str
    counts: CountsByTier
    recovered: int
    """How many of those waiting were in process when the last server ended without notice."""
    quarantined: int
    """How many orders were ended because the process died during their attempts too often."""
    head: int
    earliest: int
    paused: frozenset[Tier] = frozenset()


class Store(Protocol):
    """Keeps orders, their place in the queue, and the log of their completions.

    Reads raise StoreBroken, StoreFull or StoreAway as `commit` does.

    - `commit` is the only way anything changes. When it returns, all of it is durable; when it
      raises, none of it happened.
    - Sequences (accept, start, completion) have no hole and are never used twice.
    - An order is in one place at any moment: ready, scheduled, leased, or in the log.
    - What `commit` returned is seen by every read that begins later.
    """

    @property
    def recovery(self) -> RecoveryReport:
        """What the store held when it was opened."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may use the store too: then orders start by `take` only."""

    async def commit(self, changes: Changes) -> Committed:
        """Make the changes durable, all together.

        A request_id that the customer used before gives the same order again (a replay), whatever
        the room, or RequestIdReused for its group when the content differs.

        Raises StoreFull when there is no room on the disk: nothing happened, and the same may be
        tried again. Raises StoreAway when the store cannot be reached: what happened is not known,
        and to end the same attempts again does no harm. Raises StoreBroken when the store cannot go
        on.
        """

    def watch(self) -> AsyncIterator[StoreState]:
        """Tell whatever others change in the store, soon after it is durable; without end."""

    async def find(self, accept_sequence: int) -> Order | Completion | None:
        """Tell how an order stands: as it waits or runs, or its completion once it ended."""

    async def position(self, accept_sequence: int) -> int:
        """Tell an order's exact place in the queue, from 1; 0 when it is not queued."""

    async def list_orders(
        self, wanted: OrderFilter, *, after: int, limit: int
    ) -> tuple[list[Order], int | None]:
        """List orders behind accept sequence `after`, in that order, at most `limit`.

        Also tells the accept sequence to go on behind, None when there is nothing more. The work
        is bounded: there may be fewer than `limit`, even none, and more behind.
        """

    async def read_log(
        self, wanted: OrderFilter, *, after: int, limit: int, max_bytes: int
    ) -> LogPage:
        """Read the completions behind sequence `after` whose orders are wanted, in order.

        At most `limit`, and no more than `max_bytes`, but at least one if there is one. What counts
        is the order's content, its result or failure, and COMPLETION_BYTES for the rest. The work
        is bounded, and grows with one customer's or one tier's completions only where just theirs
        are wanted: a page may hold fewer, even none, and not be the last.

        Raises CursorExpired when some of what follows has been forgotten.
        """

    async def bounds(self) -> tuple[int, int]:
        """Tell the sequences of the newest completion that was forgotten, and of the newest."""

    async def oldest_waiting(self) -> dict[Tier, int]:
        """Tell the accept time of the oldest queued order of each tier that has one."""
