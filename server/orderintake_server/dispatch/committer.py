"""The committer: the one owner of changes; it commits requests together, then answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from orderintake_server.clock import Alarm
from orderintake_server.dispatch.failures.parts import Parts, settle_otherwise
from orderintake_server.dispatch.failures.reach import Reach
from orderintake_server.dispatch.inbox import Batch, Bell, CommitPolicy, Inbox, Pending
from orderintake_server.domain import CancelOutcome, Operator, Tier
from orderintake_server.errors import QueueFull, StorageUnavailable, StoreObstacle, StoreRefused
from orderintake_server.logger import get_logger
from orderintake_server.process.loop import Futures
from orderintake_server.store.changes import Cancel, OverCapacity, Pause, Settlement

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, MutableSequence

    from orderintake_server.clock import Clock
    from orderintake_server.dispatch.admission import Admission
    from orderintake_server.dispatch.attempts import Attempts
    from orderintake_server.dispatch.inbox import Accept, FreeWorker, Starts
    from orderintake_server.dispatch.queues import Queue
    from orderintake_server.dispatch.retention import Retention
    from orderintake_server.dispatch.stats import QueueStats
    from orderintake_server.domain import Cancelled, Ending, Lease, NewOrder, Receipt
    from orderintake_server.store.base import Commits
    from orderintake_server.store.changes import CancelWaiting, Committed, StoreState
    from orderintake_server.stream.log import CompletionLog

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")

log = get_logger()


class Committer:
    """Commits the requests in its inbox together; then queues, publishes, answers, in that order.

    A caller that leaves loses only the answer: what is in the inbox will be done.
    """

    def __init__(  # noqa: PLR0913 - it owns them all
        self,
        *,
        store: Commits,
        queue: Queue,
        completions: CompletionLog,
        admission: Admission,
        attempts: Attempts,
        stats: QueueStats,
        retention: Retention,
        clock: Clock,
        policy: CommitPolicy | None = None,
    ) -> None:
        """Own all changes of `store`, and of what is kept of it in memory."""
        self._store = store
        self._queue = queue
        self._completions = completions
        self._admission = admission
        self._attempts, self._stats = attempts, stats
        self._retention = retention
        self._clock = clock
        self._alarm = Alarm(clock, due=0)  # look at once
        self._policy = policy or CommitPolicy()
        self._inbox, self._parts, self._bell = Inbox(), Parts(), Bell()
        self._futures = Futures()
        self._reach = Reach(self._policy.probe_seconds, clock.steady)
        self._pending_orders = 0
        self._comes_in_bursts = self._is_closing = self.is_broken = False
        self.on_reach: Callable[[bool], object] = lambda _: None
        """Called with False when the store is away, and with True when it can be reached again."""

    def accept(self, group: tuple[NewOrder, ...]) -> Future[tuple[Receipt, ...]]:
        """Request that a group of orders be accepted, all or none.

        The answer is the receipts, or RequestIdReused, QueueFull, CustomerQuota, InvalidOrder,
        StorageUnavailable or StoreRefused. Raises what `ask` does.
        """
        accept: Pending[Any, tuple[Receipt, ...]] = Pending(group, self._futures.new())
        self.ask(accept)
        return accept.answer

    def ask(self, accept: Accept) -> None:
        """Request what `accept` does; the request itself gets the answer.

        Raises QueueFull when too many orders wait for a commit, StorageUnavailable when the store
        is broken.
        """
        self._refuse_if_broken()
        if self._pending_orders + len(accept.item) > self._policy.pending_orders:
            raise QueueFull("too many orders wait to be stored", retry_after=0.1)
        self._pending_orders += len(accept.item)
        self._inbox.accepts.append(accept)
        self._bell.ring()

    def cancel(self, accept_sequence: int, by: Operator | None = None) -> Future[Cancelled | None]:
        """Request that an order be cancelled; the answer is None when there is no such order.

        The answer may be StorageUnavailable, which is raised at once when the store is broken.
        """
        self._refuse_if_broken()
        return self._request(self._inbox.cancels, Cancel(accept_sequence, by))

    def cancel_waiting(self, asked: CancelWaiting) -> Future[None]:
        """Request that many orders be cancelled, if they wait; it may be refused as `cancel` is."""
        self._refuse_if_broken()
        return self._request(self._inbox.cancels_waiting, asked)

    def pause(self, tier: Tier, *, is_paused: bool, by: Operator | None = None) -> Future[None]:
        """Request that a tier be paused or resumed; it may be refused as `cancel` is."""
        self._refuse_if_broken()
        return self._request(self._inbox.pauses, Pause(tier, is_paused, by))

    def _request(
        self, requests: MutableSequence[Pending[_Item, _Answer]], item: _Item
    ) -> Future[_Answer]:
        pending: Pending[_Item, _Answer] = Pending(item, self._futures.new())
        requests.append(pending)
        self._bell.ring()
        return pending.answer

    def next_order(self) -> Future[Lease]:
        """Request the most urgent order; the answer is its lease, as soon as there is one.

        The order is chosen when the commit that starts it begins: no order that an earlier commit
        accepted is more urgent. After `close` there is no answer.
        """
        worker: FreeWorker = Pending(None, self._futures.new())
        self._queue.add(worker)
        self._bell.ring()
        return worker.answer

    def settle(self, lease: Lease, ending: Ending) -> None:
        """Request that the end of an attempt be recorded, before any later request takes effect."""
        self._inbox.settles.append(Settlement(lease=lease, ending=ending))
        self._bell.ring()

    def release(self, lease: Lease) -> None:
        """Request that an order wait again in its old position, with the attempt not counted."""
        self._inbox.releases.append(lease)
        self._bell.ring()

    def look_at_clock(self) -> None:
        """Do what is due now: the clock was turned."""
        self._bell.ring()

    def probe(self) -> None:
        """Commit at once, also without a request: the store may be broken."""
        self._reach.probe_at = 0
        self._bell.ring()

    def close(self) -> None:
        """Let `run` return when every request is durable, or cannot be made durable."""
        self._is_closing = True
        self._bell.ring()

    def _refuse_if_broken(self) -> None:
        if self.is_broken:
            raise StorageUnavailable("the store is broken; the service is ending")

    async def run(self) -> None:
        """Commit the requests, and what falls due, until closed.

        Raises StoreBroken when the store cannot continue; every waiting caller has an answer then.
        """
        while (batch := await self._next_batch()) is not None:
            try:
                committed = await self._store.commit(batch.changes(self._admission.capacity()))
            except StoreObstacle as obstacle:
                self._parts.rejoin(batch.inbox)
                self._refuse(batch.inbox, StorageUnavailable(obstacle.told))
                await self._wait_for_store(batch, obstacle)
            except StoreRefused as refused:
                await self._try_apart(batch, refused)
            except Exception:  # StoreBroken or a bug: in both cases nothing can be stored any more
                self._break(batch)
                raise
            else:
                self._reach.regain(self.on_reach)
                starts = self._apply_commit(batch, committed)
                self._completions.publish(committed.head)
                self._answer(batch.inbox, committed, starts)

    async def _next_batch(self) -> Batch | None:
        """Wait for something to commit; None when closed and nothing is left."""
        while True:
            self._alarm.notice_leap()
            if self._parts:
                return self._parts.next(self._wanted)
            if self._comes_in_bursts and self._inbox.accepts:
                await self._inbox.whole_burst()
            starts = self._wanted()
            prune = None if self._is_closing else self._retention.due()
            has_work = self._inbox or starts or prune
            if self._is_closing and not has_work:
                return None
            due = self._retention.next_time, self._reach.probe_at
            seconds = 0 if has_work else self._alarm.seconds(*due)
            if not seconds:
                batch = self._inbox.next_batch(orders=self._policy.commit_orders)
                self._comes_in_bursts = len(batch.accepts) > 1
                return Batch(inbox=batch, starts=starts, prune=prune)
            self._bell.silence()
            await self._bell.wait(seconds)

    def _wanted(self) -> Starts:
        return self._queue.wanted(is_closing=self._is_closing)

    def apply(self, state: StoreState) -> None:
        """Update what is kept in memory after other processes changed the store."""
        self._queue.apply(state)
        self._apply(state)
        for accept_sequence in state.to_stop:
            self._attempts.stop(accept_sequence)
        self._completions.publish(state.head)
        self._bell.ring()

    def _apply_commit(self, batch: Batch, committed: Committed) -> list[tuple[FreeWorker, Lease]]:
        """Update what is kept in memory after a commit; return each started order's worker."""
        ended = [*batch.inbox.releases, *(settle.lease for settle in batch.inbox.settles)]
        starts = self._queue.apply_commit(batch.starts, committed, ended=len(ended))
        for lease in ended:
            self._attempts.end(lease.order)
        self._retention.note(batch.prune, committed.pruned, committed.head - committed.earliest)
        self._apply(committed)
        return starts

    def _apply(self, state: StoreState) -> None:
        self._admission.count(state.counts, started=state.start_count)
        self._stats.apply(state)
        self._completions.note_pruned(state.earliest)
        self._alarm.due = state.next_due

    def _answer(
        self, inbox: Inbox, committed: Committed, starts: list[tuple[FreeWorker, Lease]]
    ) -> None:
        """Answer every caller and worker that still waits."""
        for accept, outcome in zip(inbox.accepts, committed.accepted, strict=True):
            self._pending_orders -= len(accept.item)
            if isinstance(outcome, tuple):
                accept.resolve(outcome)
            elif isinstance(outcome, OverCapacity):
                accept.reject(self._admission.refusal(outcome, accept.item))
            else:
                accept.reject(outcome)
        for worker, lease in starts:
            self._attempts.begin(lease.order)
            if not worker.resolve(lease):
                self.release(lease)  # the worker was stopped meanwhile
        for cancel, cancelled in zip(inbox.cancels, committed.cancelled, strict=True):
            if cancelled and cancelled.outcome is CancelOutcome.CANCEL_REQUESTED:
                self._attempts.stop(cancel.item.accept_sequence)
            cancel.resolve(cancelled)
        done: list[Pending[Any, None]] = [*inbox.cancels_waiting, *inbox.pauses]
        for asked in done:
            asked.resolve(None)

    # After a commit that failed

    async def _try_apart(self, batch: Batch, refused: StoreRefused) -> None:
        """Let the parts of a commit be tried one by one; refuse the one request that is guilty."""
        if self._parts.split(batch):
            return
        self._refuse(batch.inbox, refused)
        settle_otherwise(batch.inbox, refused, self, seconds=self._policy.probe_seconds)
        if not batch.inbox:  # it was to start or prune orders, or to do what is due
            self._reach.refuse(refused)
            await self._pause()

    def _refuse(self, inbox: Inbox, refusal: StorageUnavailable | StoreRefused) -> None:
        """Refuse the callers' requests; nothing of them was stored, as far as is known."""
        self._pending_orders -= sum(len(accept.item) for accept in inbox.accepts)
        for pending in inbox.callers():
            pending.reject(refusal)

    async def _wait_for_store(self, batch: Batch, obstacle: StoreObstacle) -> None:
        """Keep settlements and releases, before later ones, until they can be stored."""
        self._reach.lose(obstacle, self.on_reach)
        if self._is_closing:
            log.error("the store cannot be written; orders in process will be processed again")
        else:
            self._inbox.restore(batch.inbox)
            await self._pause()

    async def _pause(self) -> None:
        """Wait a little before the next commit, unless a caller waits for it."""
        if not self._inbox.has_callers():
            self._bell.silence()
            await self._bell.wait(self._policy.retry_seconds)

    def _break(self, batch: Batch) -> None:
        """Refuse every request, now and later: nothing can be stored any more."""
        self.is_broken = True
        broken = StorageUnavailable("the store is broken; the service is ending")
        self._parts.rejoin(batch.inbox)
        for inbox in (batch.inbox, self._inbox):
            self._refuse(inbox, broken)
