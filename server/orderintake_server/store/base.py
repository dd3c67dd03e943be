"""The promise every store makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import Completion, Ending, NewOrder, Order, Receipt, Waiting
    from orderintake_server.errors import RequestIdReused


COMPLETION_BYTES = 192
"""What a completion takes when it is told, beside its order's content and its ending: at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to end one attempt: good until it is settled, given back or recovered."""

    order: Order
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What came of the attempt that `lease` stands for."""

    lease: Lease
    ending: Ending


@dataclass(frozen=True, slots=True)
class NoRoom:
    """A group was refused because it would have made more orders wait than may."""

    orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The `limit` most urgent waiting orders behind `after` are asked for too."""

    after: Waiting
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be made durable together, in this order of effect."""

    settles: Sequence[Settlement] = ()
    returns: Sequence[Lease] = ()
    accepts: Sequence[Sequence[NewOrder]] = ()
    """Groups of orders; each group is accepted as a whole or not at all."""
    room: int = 0
    """How many more orders may wait."""
    claims: Sequence[Waiting] = ()
    """The orders that start now, in the order of their start."""
    page: Page | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What became of the Changes, each list in their order."""

    settled: list[int | None] = field(default_factory=list)
    """The completion's sequence; None: the lease was no longer good, nothing was changed."""
    returned: list[Waiting | None] = field(default_factory=list)
    """The place in the queue it has again; None as above."""
    accepted: list[tuple[Receipt, ...] | RequestIdReused | NoRoom] = field(default_factory=list)
    claimed: list[Lease | None] = field(default_factory=list)
    """None: the order waits no longer, there is nothing to start."""
    page: list[Waiting] = field(default_factory=list)
    head: int
    """The sequence of the newest completion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the store held when it was opened, with nothing in process any more."""

    log_id: str
    waiting: int
    recovered: int
    """How many of those waiting were in process when the last server ended without notice."""
    head: int


class Store(Protocol):
    """Keeps orders, their place in the queue, and the log of their completions.

    - `commit` is the only way anything changes. When it returns, all of it is durable; when it
      raises, none of it happened.
    - Sequences (accept, start, completion) have no hole and are never used twice.
    - An order is in one place at any moment: waiting, leased, or in the log.
    - What `commit` returned is seen by every read that begins later.
    """

    async def commit(self, changes: Changes) -> Committed:
        """Make the changes durable, all together.

        A request_id that the customer used before gives the same order again (a replay), whatever
        the room, or RequestIdReused for its group when the content differs.

        Raises StoreFull when there is no room on the disk: nothing happened, and the same may be
        tried again. Raises StoreBroken when the store cannot go on.
        """

    async def find(self, accept_sequence: int) -> Order | Completion | None:
        """Tell how an order stands: as it waits or runs, or its completion once it ended."""

    async def read_log(self, *, after: int, limit: int, max_bytes: int) -> list[Completion]:
        """Read the completions that follow sequence `after`, in order, without a hole.

        At most `limit`, and no more than `max_bytes`, but at least one if there is one. What counts
        is the order's content, its result or failure, and COMPLETION_BYTES for the rest.
        """
