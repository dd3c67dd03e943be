"""What was asked of the ledger and is not yet durable, each with the answer that is awaited."""

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

COMMIT_ORDERS = 1_024
"""Orders accepted by one commit, about 20 ms of work: claims and completions share its time."""

_What = TypeVar("_What")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Pending(Generic[_What, _Answer]):
    """What somebody asked for, and what the answer will be put into."""

    what: _What
    answer: asyncio.Future[_Answer] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def tell(self, outcome: _Answer) -> bool:
        """Give the answer to somebody who still waits; False when nobody does."""
        if self.answer.done():
            return False
        self.answer.set_result(outcome)
        return True

    def refuse(self, refusal: Exception) -> None:
        """Tell somebody who still waits that it cannot be."""
        if not self.answer.done():
            self.answer.set_exception(refusal)


@dataclass(slots=True, kw_only=True)
class Inbox:
    """All that was asked, in the order it was."""

    settles: list[Settlement] = field(default_factory=list)
    releases: list[Lease] = field(default_factory=list)
    claims: list[tuple[QueueEntry, Pending[None, Lease]]] = field(default_factory=list)
    cancels: list[Pending[int, Cancelled | None]] = field(default_factory=list)
    pauses: list[Pending[tuple[Tier, bool], None]] = field(default_factory=list)
    accepts: deque[Pending[tuple[NewOrder, ...], tuple[Receipt, ...]]] = field(
        default_factory=deque
    )
    most_urgent: ClaimNext | None = None
    page: Page | None = None
    prune: Prune | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        ours = self.settles or self.releases or self.claims or self.most_urgent or self.page
        return bool(ours or self.prune or self.cancels or self.pauses or self.accepts)

    def take(self) -> Inbox:
        """Move everything out, but of the accepts only as many as one commit should hold."""
        taken = replace(self, accepts=deque())
        self.settles, self.releases, self.claims = [], [], []
        self.cancels, self.pauses = [], []
        self.most_urgent, self.page, self.prune = None, None, None
        orders = 0
        while self.accepts and orders < COMMIT_ORDERS:
            taken.accepts.append(self.accepts.popleft())
            orders += len(taken.accepts[-1].what)
        return taken

    def requeue(self, taken: Inbox) -> None:
        """Take back what attempts came to, ahead of what was asked since."""
        self.settles[:0] = taken.settles
        self.releases[:0] = taken.releases

    def callers(
        self,
    ) -> Iterator[Pending[int, Cancelled | None] | Pending[tuple[Tier, bool], None]]:
        """Go through what callers asked, but for accepts."""
        yield from self.cancels
        yield from self.pauses

    def changes(self, capacity: Capacity) -> Changes:
        """Tell the store what is to be done."""
        return Changes(
            settles=self.settles,
            releases=self.releases,
            cancels=[ask.what for ask in self.cancels],
            pauses=dict(ask.what for ask in self.pauses),
            accepts=[ask.what for ask in self.accepts],
            capacity=capacity,
            claims=[place for place, _ in self.claims],
            claim_next=self.most_urgent,
            page=self.page,
            prune=self.prune,
        )
