"""The committer's inbox: requests that are not yet durable, and what a commit holds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from orderintake_server.dispatch.requests.said import cut, work_of
from orderintake_server.store.changes import Changes

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableSequence

    from orderintake_server.dispatch.requests.pending import (
        Accept,
        FreeSlot,
        Offer,
        OneOf,
        Pending,
        Said,
    )
    from orderintake_server.domain import Cancelled, Lease, QueueEntry
    from orderintake_server.holders import Holder
    from orderintake_server.store.changes import (
        Cancel,
        CancelWaiting,
        Capacity,
        ClaimNext,
        Page,
        Pause,
        Prune,
        Settlement,
    )


@dataclass(slots=True, kw_only=True)
class Inbox:
    """The requests of callers, the settlements and releases of this process, what workers say.

    Each kind in its order of arrival.
    """

    settles: list[Settlement] = field(default_factory=list)
    releases: list[Lease] = field(default_factory=list)
    said: list[Pending[Said, Any]] = field(default_factory=list)
    cancels: list[Pending[Cancel, Cancelled | None]] = field(default_factory=list)
    cancels_waiting: list[Pending[CancelWaiting, None]] = field(default_factory=list)
    pauses: list[Pending[Pause, None]] = field(default_factory=list)
    accepts: deque[Accept] = field(default_factory=deque)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.settles or self.releases or self.has_callers())

    def next_batch(self, *, orders: int) -> Inbox:
        """Move everything out and return it; of the accepts, until they hold `orders` orders."""
        batch = Inbox(
            settles=self.settles,
            releases=self.releases,
            cancels=self.cancels,
            cancels_waiting=self.cancels_waiting,
            pauses=self.pauses,
        )
        if self.said:
            batch.said, self.said = cut(self.said)
        self.settles, self.releases = [], []
        self.cancels, self.cancels_waiting, self.pauses = [], [], []
        while self.accepts and orders > 0:
            batch.accepts.append(self.accepts.popleft())
            orders -= len(batch.accepts[-1].item)
        return batch

    def __len__(self) -> int:
        """How many requests there are."""
        cancels = len(self.cancels) + len(self.cancels_waiting)
        others = len(self.releases) + len(self.said) + cancels + len(self.pauses)
        return len(self.accepts) + len(self.settles) + others

    def requests(self) -> tuple[MutableSequence[Any], ...]:
        """Return the requests of each kind, in the order in which they take effect."""
        callers = self.cancels, self.cancels_waiting, self.pauses, self.accepts
        return self.settles, self.releases, self.said, *callers

    def halves(self) -> tuple[Inbox, Inbox]:
        """Return the first half of the requests, in the order in which they take effect; the rest.

        A commit of one, and then of the other, does what one commit of all would do.
        """
        first, second, left = Inbox(), Inbox(), len(self) // 2
        for mine, ones, others in zip(
            self.requests(), first.requests(), second.requests(), strict=True
        ):
            ones.extend(islice(mine, left))
            others.extend(islice(mine, left, None))
            left -= len(ones)
        return first, second

    def add(self, later: Inbox) -> None:
        """Add later requests after these."""
        for mine, others in zip(self.requests(), later.requests(), strict=True):
            mine.extend(others)

    def restore(self, batch: Inbox) -> None:
        """Put back the settlements and releases of a failed commit, before the later ones."""
        self.settles[:0] = batch.settles
        self.releases[:0] = batch.releases

    def has_callers(self) -> bool:
        """Whether a caller waits for an answer."""
        return any(True for _ in self.callers())

    def callers(self) -> Iterator[Pending[Any, Any] | OneOf]:
        """Yield the requests of callers, and of workers."""
        yield from self.accepts
        yield from self.said
        yield from self.cancels
        yield from self.cancels_waiting
        yield from self.pauses


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """What the queue wants from one commit."""

    claims: list[tuple[QueueEntry, FreeSlot | Offer]] = field(default_factory=list)
    """Orders to start, each with its slot."""
    claim_next: ClaimNext | None = None
    page: Page | None = None
    offer: ClaimNext | None = None
    """Who is free besides, should the commit accept or take back orders."""

    @property
    def holders(self) -> list[Holder | None]:
        """Who gets each of the claims; empty: this process itself gets all."""
        holders = [slot.item for _, slot in self.claims]
        return holders if any(holders) else []

    def __bool__(self) -> bool:
        """Whether the queue wants anything, if nobody else does."""
        return bool(self.claims or self.claim_next or self.page)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one commit does, with the requests and workers that wait for it."""

    inbox: Inbox
    starts: Starts
    prune: Prune | None

    def changes(self, capacity: Capacity, attempt_limit: int = 0) -> Changes:
        """Return the changes for the store; `capacity` is how many more orders may wait.

        `attempt_limit`: how many microseconds attempts of workers may take; 0: any time.
        """
        inbox, starts = self.inbox, self.starts
        return Changes(
            settles=inbox.settles,
            releases=inbox.releases,
            work=work_of(inbox.said) if inbox.said else None,
            cancels=[pending.item for pending in inbox.cancels],
            cancels_waiting=[pending.item for pending in inbox.cancels_waiting],
            pauses=[pending.item for pending in inbox.pauses],
            accepts=[pending.item for pending in inbox.accepts],
            capacity=capacity,
            claims=[entry for entry, _ in starts.claims],
            holders=starts.holders,
            attempt_limit=attempt_limit,
            claim_next=starts.claim_next or starts.offer,
            page=starts.page,
            prune=self.prune,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitPolicy:
    """How much one commit holds, how much may wait for it, and when a failed commit is repeated."""

    commit_orders: int = 1_024
    """Orders accepted by one commit: about 20 ms of work, for which claims and settlements wait."""
    pending_orders: int = 10_000
    """Orders that may wait for their commit: about 200 ms of work; it bounds the memory."""
    retry_seconds: float = 0.25
    """When the store is full or away, and no caller waits: the time before the next commit."""
    attempt_limit: int = 0
    """How long attempts of workers may take, in microseconds, before they are told as overdue; 0:
    any time."""
    probe_seconds: float = 0.5
    """When the store is away: the time before a commit is tried, even if there are no changes."""
