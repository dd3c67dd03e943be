"""The one owner of changes: what callers and workers ask is made durable together, then told."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import structlog

from orderintake_server.domain import Waiting, rank
from orderintake_server.errors import QueueFull, StorageUnavailable, StoreBroken, StoreFull
from orderintake_server.store.base import Changes, Lease, NoRoom, Settlement

if TYPE_CHECKING:
    from orderintake_server.dispatch.completions import Completions
    from orderintake_server.dispatch.ready import ReadyQueue
    from orderintake_server.dispatch.room import WaitingRoom
    from orderintake_server.domain import Ending, NewOrder, Receipt
    from orderintake_server.store.base import Committed, Page, Store

COMMIT_ORDERS = 1_024
"""Orders accepted by one commit, about 20 ms of work: claims and completions share its time."""
PENDING_ORDERS = 10_000
"""Orders that may wait for their commit: about 200 ms of it, a bound on memory."""
FULL_RETRY_SECONDS = 0.25
"""How long a full disk is left alone before the service's own changes are tried again."""

log = structlog.get_logger()
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Accept:
    """A group of orders to be accepted, and who waits for the receipts."""

    group: tuple[NewOrder, ...]
    answer: asyncio.Future[tuple[Receipt, ...]]


@dataclass(frozen=True, slots=True)
class _Claim:
    """An order to be started, and the worker that waits for the lease."""

    waiting: Waiting
    answer: asyncio.Future[Lease | None]


@dataclass(slots=True)
class _Inbox:
    """What was asked and is not yet durable."""

    settles: list[Settlement] = field(default_factory=list)
    returns: list[Lease] = field(default_factory=list)
    claims: list[_Claim] = field(default_factory=list)
    accepts: deque[_Accept] = field(default_factory=deque)
    page: Page | None = None

    def __bool__(self) -> bool:
        return bool(self.settles or self.returns or self.claims or self.accepts or self.page)

    def take(self) -> _Inbox:
        """Move everything out, but of the accepts only as many as one commit should hold."""
        taken = _Inbox(self.settles, self.returns, self.claims, page=self.page)
        self.settles, self.returns, self.claims, self.page = [], [], [], None
        orders = 0
        while self.accepts and orders < COMMIT_ORDERS:
            taken.accepts.append(self.accepts.popleft())
            orders += len(taken.accepts[-1].group)
        return taken


class Ledger:
    """Takes changes in, commits them together, then queues, publishes and answers, in that order.

    Who asks and leaves loses the answer only: what is in the inbox will be done.
    """

    def __init__(
        self,
        *,
        store: Store,
        ready: ReadyQueue,
        completions: Completions,
        room: WaitingRoom,
    ) -> None:
        """Own the changes of `store`, and of what is kept in memory of it."""
        self._store = store
        self._ready = ready
        self._completions = completions
        self._room = room
        self._inbox = _Inbox()
        self._pending_orders = 0
        self._wake = asyncio.Event()
        self._is_closing = self._is_full = False
        self.is_broken = False

    def accept(self, group: tuple[NewOrder, ...]) -> asyncio.Future[tuple[Receipt, ...]]:
        """Ask for a group of orders to be accepted, all or none.

        The answer is the receipts, or a RequestIdReused, QueueFull or StorageUnavailable.
        Raises QueueFull when too many orders wait for the disk, StorageUnavailable when it broke.
        """
        if self.is_broken:
            raise _broken()
        if self._pending_orders + len(group) > PENDING_ORDERS:
            raise QueueFull("too many orders are being stored at this moment", retry_after=0.1)
        self._pending_orders += len(group)
        ask = _Accept(group, asyncio.get_running_loop().create_future())
        self._inbox.accepts.append(ask)
        self._wake.set()
        return ask.answer

    def claim(self, waiting: Waiting) -> asyncio.Future[Lease | None]:
        """Ask to start an order: the answer is its lease, or None if it waits no longer.

        Starts are numbered in the order of these calls.
        """
        ask = _Claim(waiting, asyncio.get_running_loop().create_future())
        self._inbox.claims.append(ask)
        self._wake.set()
        return ask.answer

    def settle(self, lease: Lease, ending: Ending) -> None:
        """Ask for an attempt's end to be written in the log, before anything asked later."""
        self._inbox.settles.append(Settlement(lease=lease, ending=ending))
        self._wake.set()

    def give_back(self, lease: Lease) -> None:
        """Ask for an order to wait again in its old place, the attempt not counted."""
        self._inbox.returns.append(lease)
        self._wake.set()

    def close(self) -> None:
        """Let `run` return when all that was asked is durable, or cannot become so."""
        self._is_closing = True
        self._wake.set()

    async def run(self) -> None:
        """Commit what is asked until closed.

        Raises StoreBroken when the store cannot go on; whoever waits has then been answered.
        """
        while await self._has_work():
            taken = self._inbox.take()
            try:
                committed = await self._store.commit(self._changes(taken))
            except StoreFull as full:
                self._refuse(taken, StorageUnavailable("the disk is full", retry_after=1.0))
                await self._wait_for_room(taken, full)
            except StoreBroken:
                self._break(taken)
                raise
            else:
                self._note_room()
                self._queue(taken, committed)
                self._completions.publish(committed.head)
                self._answer(taken, committed)

    async def _has_work(self) -> bool:
        """Wait for something to do; False when closed and nothing is left."""
        while True:
            self._inbox.page = None if self._is_closing else self._ready.missing()
            if self._inbox or self._is_closing:
                return bool(self._inbox)
            self._wake.clear()
            await self._wake.wait()

    def _changes(self, taken: _Inbox) -> Changes:
        return Changes(
            settles=taken.settles,
            returns=taken.returns,
            accepts=[ask.group for ask in taken.accepts],
            room=self._room.left,
            claims=[ask.waiting for ask in taken.claims],
            page=taken.page,
        )

    # A commit succeeded

    def _queue(self, taken: _Inbox, committed: Committed) -> None:
        """Bring the queue in memory to what the store's queue is now."""
        fresh = [
            Waiting(rank(order.tier, order.accept_sequence), order.accept_sequence, 0)
            for outcome in committed.accepted
            if isinstance(outcome, tuple)
            for order in (receipt.order for receipt in outcome if not receipt.replayed)
        ]
        back = [place for place in committed.returned if place is not None]
        for place in fresh + back:
            self._ready.push(place)
        if taken.page:
            self._ready.fill(taken.page, committed.page)
        started = sum(lease is not None for lease in committed.claimed)
        self._room.count(came=len(fresh) + len(back), started=started)

    def _answer(self, taken: _Inbox, committed: Committed) -> None:
        """Tell everybody who still waits what became of what they asked."""
        for accept, outcome in zip(taken.accepts, committed.accepted, strict=True):
            self._pending_orders -= len(accept.group)
            if isinstance(outcome, NoRoom):
                _tell(accept.answer, self._room.refusal(outcome.orders))
            else:
                _tell(accept.answer, outcome)
        for claim, lease in zip(taken.claims, committed.claimed, strict=True):
            if not _tell(claim.answer, lease) and lease is not None:
                self.give_back(lease)  # the worker was stopped meanwhile

    # A commit failed

    def _refuse(self, taken: _Inbox, refusal: StorageUnavailable) -> None:
        """Tell the callers; their orders are not stored."""
        for ask in taken.accepts:
            self._pending_orders -= len(ask.group)
            _tell(ask.answer, refusal)

    async def _wait_for_room(self, taken: _Inbox, full: StoreFull) -> None:
        """Keep the service's own changes, ahead of later ones, until the disk has room."""
        if not self._is_full:
            self._is_full = True
            log.error("the disk is full; new orders are refused", error=str(full))
        if self._is_closing:
            log.error("the disk is still full; what was in process will be processed again")
            return
        inbox = self._inbox
        inbox.settles[:0], inbox.returns[:0] = taken.settles, taken.returns
        inbox.claims[:0] = taken.claims
        if not inbox.accepts:
            self._wake.clear()
            try:
                async with asyncio.timeout(FULL_RETRY_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _note_room(self) -> None:
        if self._is_full:
            self._is_full = False
            log.info("the disk has room again; orders are accepted")

    def _break(self, taken: _Inbox) -> None:
        """Refuse every caller, now and later: nothing can be stored any more."""
        self.is_broken = True
        for inbox in (taken, self._inbox):
            self._refuse(inbox, _broken())


def _broken() -> StorageUnavailable:
    return StorageUnavailable("the store is broken; the service is ending")


def _tell(answer: asyncio.Future[_T], outcome: _T | Exception) -> bool:
    """Resolve an answer that somebody still waits for; False when nobody does."""
    if answer.done():
        return False
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
    return True
