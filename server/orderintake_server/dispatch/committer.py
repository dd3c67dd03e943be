"""The one owner of changes: what callers and workers ask is made durable together, then told."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from orderintake_server.dispatch.inbox import Inbox, Pending
from orderintake_server.domain import CancelOutcome
from orderintake_server.errors import QueueFull, StorageUnavailable, StoreAway, StoreFull
from orderintake_server.store.changes import OverCapacity, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.dispatch.admission import Admission
    from orderintake_server.dispatch.attempts import Attempts
    from orderintake_server.dispatch.queues import Queue
    from orderintake_server.dispatch.retention import Retention
    from orderintake_server.dispatch.stats import QueueStats
    from orderintake_server.domain import Cancelled, Ending, Lease, NewOrder, Receipt, Tier
    from orderintake_server.errors import Refusal, RequestIdReused
    from orderintake_server.store.base import Store
    from orderintake_server.store.changes import Committed, StoreState
    from orderintake_server.stream.log import CompletionLog

PENDING_ORDERS = 10_000
"""Orders that may wait for their commit: about 200 ms of it, a bound on memory."""
RETRY_SECONDS = 0.25
"""How long a store that is full or away is left alone before our own changes are tried again."""
PROBE = 500_000
"""Microseconds after which a store that is away is looked for again."""

log = structlog.get_logger()


class Committer:
    """Takes changes in, commits them together, then queues, publishes and answers, in that order.

    Who asks and leaves loses the answer only: what is in the inbox will be done.
    """

    def __init__(  # noqa: PLR0913 - it owns them all
        self,
        *,
        store: Store,
        queue: Queue,
        completions: CompletionLog,
        capacity: Admission,
        attempts: Attempts,
        flow: QueueStats,
        retention: Retention,
        clock: Callable[[], int],
    ) -> None:
        """Own the changes of `store`, and of what is kept in memory of it.

        `clock` tells the time in microseconds since 1970.
        """
        self._store = store
        self._queue = queue
        self._completions = completions
        self._room = capacity
        self._attempts = attempts
        self._flow = flow
        self._retention = retention
        self._clock = clock
        self._inbox = Inbox()
        self._pending_orders = 0
        self._next_due: int | None = 0  # look at once
        self._wake = asyncio.Event()
        self._probe_at: int | None = None
        self._is_closing = self._is_obstructed = False
        self.is_broken = False
        self.on_reach: Callable[[bool], object] = lambda _: None
        """Called with False when the store is away, and with True when it is there again."""

    def accept(self, group: tuple[NewOrder, ...]) -> asyncio.Future[tuple[Receipt, ...]]:
        """Ask for a group of orders to be accepted, all or none.

        The answer is the receipts, or RequestIdReused, QueueFull, CustomerQuota or
        StorageUnavailable. Raises QueueFull when too many orders wait for the disk,
        StorageUnavailable when it broke.
        """
        self._refuse_if_broken()
        if self._pending_orders + len(group) > PENDING_ORDERS:
            raise QueueFull("too many orders are being stored at this moment", retry_after=0.1)
        self._pending_orders += len(group)
        ask: Pending[tuple[NewOrder, ...], tuple[Receipt, ...]] = Pending(group)
        self._inbox.accepts.append(ask)
        self._wake.set()
        return ask.answer

    def cancel(self, accept_sequence: int) -> asyncio.Future[Cancelled | None]:
        """Ask for an order to be cancelled: the answer tells what became of it, None if unknown.

        The answer may be StorageUnavailable, which is raised when the store broke.
        """
        self._refuse_if_broken()
        ask: Pending[int, Cancelled | None] = Pending(accept_sequence)
        self._inbox.cancels.append(ask)
        self._wake.set()
        return ask.answer

    def pause(self, tier: Tier, *, is_paused: bool) -> asyncio.Future[None]:
        """Ask for a tier to be paused or resumed.

        The answer may be StorageUnavailable, which is raised when the store broke.
        """
        self._refuse_if_broken()
        ask: Pending[tuple[Tier, bool], None] = Pending((tier, is_paused))
        self._inbox.pauses.append(ask)
        self._wake.set()
        return ask.answer

    def next_order(self) -> asyncio.Future[Lease]:
        """Ask for the most urgent order; the answer is its lease, once there is one.

        Who is given which order is decided when the commit that starts it begins: no order accepted
        by an earlier commit is more urgent. Not to be called once no order is given out any more.
        """
        ask: Pending[None, Lease] = Pending(None)
        self._queue.add(ask)
        self._wake.set()
        return ask.answer

    def settle(self, lease: Lease, ending: Ending) -> None:
        """Ask for what came of an attempt to be written down, before anything asked later."""
        self._inbox.settles.append(Settlement(lease=lease, ending=ending))
        self._wake.set()

    def release(self, lease: Lease) -> None:
        """Ask for an order to wait again in its old place, the attempt not counted."""
        self._inbox.releases.append(lease)
        self._wake.set()

    def look_at_clock(self) -> None:
        """Do what is due: somebody turned the clock."""
        self._wake.set()

    def close(self) -> None:
        """Let `run` return when all that was asked is durable, or cannot become so."""
        self._is_closing = True
        self._wake.set()

    def _refuse_if_broken(self) -> None:
        if self.is_broken:
            raise StorageUnavailable("the store is broken; the service is ending")

    async def run(self) -> None:
        """Commit what is asked, and what falls due, until closed.

        Raises StoreBroken when the store cannot go on; whoever waits has then been answered.
        """
        while await self._has_work():
            taken = self._inbox.take()
            try:
                committed = await self._store.commit(taken.changes(self._room.left()))
            except (StoreFull, StoreAway) as obstacle:
                self._refuse(taken, _unavailable(obstacle))
                await self._wait_for_better(taken, obstacle)
            except Exception:  # StoreBroken, or a bug: either way nothing is stored any more
                self._break(taken)
                raise
            else:
                self._note_better()
                self._note(taken, committed)
                self._completions.publish(committed.head)
                self._answer(taken, committed)

    def apply(self, news: StoreState) -> None:
        """Take note of what others did to the store."""
        self._queue.apply(news)
        self._stand(news)
        for accept_sequence in news.to_stop:
            self._attempts.stop(accept_sequence)
        self._completions.publish(news.head)
        self._wake.set()

    async def _has_work(self) -> bool:
        """Wait for something to do; False when closed and nothing is left."""
        while True:
            self._queue.ask(self._inbox, is_closing=self._is_closing)
            self._inbox.prune = None if self._is_closing else self._retention.due()
            if self._inbox or self._is_closing:
                return bool(self._inbox)
            seconds = self._seconds_to_due()
            if seconds == 0:
                return True
            self._wake.clear()
            await self._woken(seconds)

    def _seconds_to_due(self) -> float | None:
        """Tell how long nothing falls due or expires; None: nothing ever will."""
        known = (self._next_due, self._retention.next_time, self._probe_at)
        times = [time for time in known if time is not None]
        return max(min(times) - self._clock(), 0) / 1e6 if times else None

    async def _woken(self, seconds: float | None) -> None:
        """Wait until somebody asks for something, or the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    # A commit succeeded

    def _note(self, taken: Inbox, committed: Committed) -> None:
        """Bring what is kept in memory to what the store holds now."""
        self._queue.note(taken, committed)
        for lease in (*taken.releases, *(settle.lease for settle in taken.settles)):
            self._attempts.end(lease.order)
        self._retention.note(taken.prune, committed.pruned)
        self._stand(committed)

    def _stand(self, news: StoreState) -> None:
        """Know how the store stands."""
        self._room.count(news.counts, started=news.start_count)
        self._flow.note(news)
        self._completions.earliest = news.earliest
        self._next_due = news.next_due

    def _answer(self, taken: Inbox, committed: Committed) -> None:
        """Tell everybody who still waits what became of what they asked."""
        for accept, outcome in zip(taken.accepts, committed.accepted, strict=True):
            self._pending_orders -= len(accept.what)
            if isinstance(outcome, tuple):
                accept.tell(outcome)
            else:
                accept.refuse(self._refusal(outcome))
        for worker, lease in self._queue.starts(taken, committed):
            self._attempts.begin(lease.order)
            if not worker.tell(lease):
                self.release(lease)  # the worker was stopped meanwhile
        for cancel, cancelled in zip(taken.cancels, committed.cancelled, strict=True):
            if cancelled and cancelled.outcome is CancelOutcome.CANCEL_REQUESTED:
                self._attempts.stop(cancel.what)
            cancel.tell(cancelled)
        for pause in taken.pauses:
            pause.tell(None)

    def _refusal(self, outcome: RequestIdReused | OverCapacity) -> Refusal:
        return self._room.refusal(outcome) if isinstance(outcome, OverCapacity) else outcome

    # A commit failed

    def _refuse(self, taken: Inbox, refusal: StorageUnavailable) -> None:
        """Tell the callers; nothing that they asked is stored."""
        for accept in taken.accepts:
            self._pending_orders -= len(accept.what)
            accept.refuse(refusal)
        for ask in taken.callers():
            ask.refuse(refusal)

    async def _wait_for_better(self, taken: Inbox, obstacle: StoreFull | StoreAway) -> None:
        """Keep the service's own changes, ahead of later ones, until they can be stored."""
        if not self._is_obstructed:
            self._is_obstructed = True
            log.error("nothing can be stored; new orders are refused", error=str(obstacle))
            self.on_reach(isinstance(obstacle, StoreFull))
        if isinstance(obstacle, StoreAway):  # look again, even if nobody asks for anything
            self._probe_at = self._clock() + PROBE
        if self._is_closing:
            log.error("nothing can be stored; what was in process will be processed again")
            return
        self._inbox.requeue(taken)
        self._queue.requeue(self._inbox, taken)
        if not self._inbox.accepts and not any(self._inbox.callers()):
            self._wake.clear()
            await self._woken(RETRY_SECONDS)

    def _note_better(self) -> None:
        if self._is_obstructed:
            self._is_obstructed, self._probe_at = False, None
            self.on_reach(True)  # noqa: FBT003 - it is the one thing that is told
            log.info("changes can be stored again; orders are accepted")

    def _break(self, taken: Inbox) -> None:
        """Refuse every caller, now and later: nothing can be stored any more."""
        self.is_broken = True
        broken = StorageUnavailable("the store is broken; the service is ending")
        for inbox in (taken, self._inbox):
            self._refuse(inbox, broken)


def _unavailable(obstacle: StoreFull | StoreAway) -> StorageUnavailable:
    is_full = isinstance(obstacle, StoreFull)
    return StorageUnavailable("the disk is full" if is_full else "the store is away")
