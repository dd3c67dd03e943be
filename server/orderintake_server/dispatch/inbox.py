"""What was asked of the committer and is not yet durable, and how much of it one commit holds."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from orderintake_server.store.changes import Changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orderintake_server.domain import Cancelled, Lease, NewOrder, QueueEntry, Receipt, Tier
    from orderintake_server.store.changes import Capacity, ClaimNext, Page, Prune, Settlement

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Pending(Generic[_Item, _Answer]):
    """What somebody asked for, and the future that the answer will be put into."""

    item: _Item
    answer: asyncio.Future[_Answer] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def resolve(self, answer: _Answer) -> bool:
        """Give the answer to somebody who still waits; False when nobody does."""
        if self.answer.done():
            return False
        self.answer.set_result(answer)
        return True

    def reject(self, refusal: Exception) -> None:
        """Tell somebody who still waits that it cannot be."""
        if not self.answer.done():
            self.answer.set_exception(refusal)


FreeWorker = Pending[None, "Lease"]
"""A worker that waits for an order: the answer is the order's lease."""
Operation = Pending[int, "Cancelled | None"] | Pending["tuple[Tier, bool]", None]
"""A cancel or a pause."""


@dataclass(slots=True, kw_only=True)
class Inbox:
    """What callers asked for, and what workers want written down, in the order it was asked."""

    settles: list[Settlement] = field(default_factory=list)
    releases: list[Lease] = field(default_factory=list)
    cancels: list[Pending[int, Cancelled | None]] = field(default_factory=list)
    pauses: list[Pending[tuple[Tier, bool], None]] = field(default_factory=list)
    accepts: deque[Pending[tuple[NewOrder, ...], tuple[Receipt, ...]]] = field(
        default_factory=deque
    )

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.settles or self.releases or self.cancels or self.pauses or self.accepts)

    def next_batch(self, *, orders: int) -> Inbox:
        """Move everything out, but of the accepts only until they hold so many orders."""
        batch = replace(self, accepts=deque())
        self.settles, self.releases, self.cancels, self.pauses = [], [], [], []
        while self.accepts and orders > 0:
            batch.accepts.append(self.accepts.popleft())
            orders -= len(batch.accepts[-1].item)
        return batch

    def restore(self, batch: Inbox) -> None:
        """Put back what attempts came to, ahead of what was asked since."""
        self.settles[:0] = batch.settles
        self.releases[:0] = batch.releases

    def has_callers(self) -> bool:
        """Tell whether somebody waits for an answer."""
        return bool(self.accepts or self.cancels or self.pauses)

    def operations(self) -> Iterator[Operation]:
        """Go through what callers asked that is no order."""
        yield from self.cancels
        yield from self.pauses


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """What the queue asks of one commit."""

    claims: list[tuple[QueueEntry, FreeWorker]] = field(default_factory=list)
    """Orders that are to start, each with the worker that is given it."""
    claim_next: ClaimNext | None = None
    page: Page | None = None

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return bool(self.claims or self.claim_next or self.page)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one commit is asked to do, and who waits for it."""

    inbox: Inbox
    starts: Starts
    prune: Prune | None

    def changes(self, capacity: Capacity) -> Changes:
        """Tell the store what is to be done, while so many orders more may wait."""
        inbox, starts = self.inbox, self.starts
        return Changes(
            settles=inbox.settles,
            releases=inbox.releases,
            cancels=[pending.item for pending in inbox.cancels],
            pauses=dict(pending.item for pending in inbox.pauses),
            accepts=[pending.item for pending in inbox.accepts],
            capacity=capacity,
            claims=[entry for entry, _ in starts.claims],
            claim_next=starts.claim_next,
            page=starts.page,
            prune=self.prune,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitPolicy:
    """How much one commit holds, how much may wait for it, and when a failed one is repeated."""

    commit_orders: int = 1_024
    """Orders accepted by one commit, about 20 ms of work: claims and completions share its time."""
    pending_orders: int = 10_000
    """Orders that may wait for their commit: about 200 ms of it, a bound on memory."""
    retry_seconds: float = 0.25
    """How long a store that is full or away is left alone before our own changes are repeated."""
    probe_seconds: float = 0.5
    """After so long, a store that is away is tried again, even if nobody asks for anything."""
