"""The committer: the one owner of changes; it commits requests together, then answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orderintake_server.clock import Alarm
from orderintake_server.dispatch.failures.parts import Parts, said_otherwise, settle_otherwise
from orderintake_server.dispatch.failures.reach import Reach
from orderintake_server.dispatch.inbox import Batch, CommitPolicy
from orderintake_server.dispatch.requests.own import OwnRequests
from orderintake_server.dispatch.requests.pending import Offer
from orderintake_server.domain import CancelOutcome
from orderintake_server.errors import StorageUnavailable, StoreObstacle, StoreRefused
from orderintake_server.holders import LentLease
from orderintake_server.logger import get_logger
from orderintake_server.store.changes import OverCapacity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orderintake_server.clock import Clock
    from orderintake_server.dispatch.admission import Admission
    from orderintake_server.dispatch.attempts import Attempts
    from orderintake_server.dispatch.inbox import Inbox, Starts
    from orderintake_server.dispatch.queues import Queue
    from orderintake_server.dispatch.requests.pending import Pending
    from orderintake_server.dispatch.requests.slots import Slot
    from orderintake_server.dispatch.retention import Retention
    from orderintake_server.dispatch.stats import QueueStats
    from orderintake_server.domain import Lease
    from orderintake_server.store.base import Commits
    from orderintake_server.store.changes import Changes, Committed, StoreState
    from orderintake_server.stream.log import CompletionLog

log = get_logger()


class Committer(OwnRequests):
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
        super().__init__(queue, policy or CommitPolicy())
        self._store = store
        self._completions = completions
        self._admission = admission
        self._attempts, self._stats = attempts, stats
        self._retention = retention
        self._clock = clock
        self._alarm = Alarm(clock, due=0)  # look at once
        self._parts = Parts()
        self._reach = Reach(self._policy.probe_seconds, clock.steady)
        self._comes_in_bursts = False
        self.on_reach: Callable[[bool], object] = lambda _: None
        """Called with False when the store is away, and with True when it can be reached again."""

    def probe(self) -> None:
        """Commit at once, also without a request: the store may be broken."""
        self._reach.probe_at = 0
        self._bell.ring()

    async def run(self) -> None:
        """Commit the requests, and what falls due, until closed.

        Raises StoreBroken when the store cannot continue; every waiting caller has an answer then.
        """
        while (batch := await self._next_batch()) is not None:
            try:
                committed = await self._store.commit(self._changes(batch))
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
        self._has_ended = True

    async def _next_batch(self) -> Batch | None:
        """Wait for something to commit; None when closed and nothing is left."""
        while True:
            self._alarm.notice_leap()
            if self._parts:
                return self._parts.next(self._wanted)
            if self._comes_in_bursts and self._inbox:
                await self._bell.whole_burst()
            starts = self._wanted()
            prune = None if self._is_closing else self._retention.due()
            has_work = self._inbox or starts or prune
            if self._is_closing and not has_work:
                return None
            due = self._retention.next_time, self._reach.probe_at
            seconds = 0 if has_work else self._alarm.seconds(*due)
            if not seconds:
                batch = self._inbox.next_batch(orders=self._policy.commit_orders)
                self._comes_in_bursts = len(batch) > 1
                return Batch(inbox=batch, starts=starts, prune=prune)
            self._bell.silence()
            await self._bell.wait(seconds)

    def _changes(self, batch: Batch) -> Changes:
        return batch.changes(self._admission.capacity(), self._policy.attempt_limit)

    def _wanted(self) -> Starts:
        return self._queue.wanted(is_closing=self._is_closing)

    def apply(self, state: StoreState) -> None:
        """Update what is kept in memory after other processes changed the store."""
        self._queue.apply(state)
        self._apply(state)
        for accept_sequence in state.to_stop:
            self._attempts.stop(accept_sequence)
        self._completions.publish(state.head)
        self.remote.tell(state)
        self._bell.ring()

    def _apply_commit(self, batch: Batch, committed: Committed) -> list[tuple[Slot, Lease]]:
        """Update what is kept in memory after a commit; return each started order's slot."""
        released = [each for each in batch.inbox.releases if not isinstance(each, LentLease)]
        ended = [*released, *(settle.lease for settle in batch.inbox.settles)]
        self.remote.apply(batch.inbox, committed)
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
        self, inbox: Inbox, committed: Committed, starts: Sequence[tuple[Slot, Lease]]
    ) -> None:
        """Answer every caller and every slot that still waits."""
        for accept, outcome in zip(inbox.accepts, committed.accepted, strict=True):
            self._pending_orders -= len(accept.item)
            if isinstance(outcome, tuple):
                accept.resolve(outcome)
            elif isinstance(outcome, OverCapacity):
                accept.reject(self._admission.refusal(outcome, accept.item))
            else:
                accept.reject(outcome)
        self._give(starts)
        for cancel, cancelled in zip(inbox.cancels, committed.cancelled, strict=True):
            if cancelled and cancelled.outcome is CancelOutcome.CANCEL_REQUESTED:
                self._attempts.stop(cancel.item.accept_sequence)
            cancel.resolve(cancelled)
        done: list[Pending[Any, None]] = [*inbox.cancels_waiting, *inbox.pauses]
        for asked in done:
            asked.resolve(None)
        self.remote.answer(inbox, committed)

    def _give(self, starts: Sequence[tuple[Slot, Lease]]) -> None:
        """Give each slot the order that it has to start."""
        lent: list[tuple[Offer, Lease]] = []
        for slot, lease in starts:
            if isinstance(slot, Offer):
                lent.append((slot, lease))
                continue
            self._attempts.begin(lease.order)
            if not slot.resolve(lease):
                self.release(lease)  # the slot was stopped meanwhile
        if lent:
            self.remote.give(lent)

    # After a commit that failed

    async def _try_apart(self, batch: Batch, refused: StoreRefused) -> None:
        """Let the parts of a commit be tried one by one; refuse the one request that is guilty."""
        if self._parts.split(batch):
            return
        self._inbox.said += said_otherwise(batch.inbox, refused)
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
