"""From where orders start: this process's own queue, or one that it shares with others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from orderintake_server.store.changes import ClaimNext

if TYPE_CHECKING:
    from orderintake_server.dispatch.free_workers import FreeWorkers
    from orderintake_server.dispatch.inbox import Inbox, Pending
    from orderintake_server.dispatch.ready import ReadyQueue
    from orderintake_server.domain import Lease
    from orderintake_server.store.changes import Committed, StoreState

    Start = tuple[Pending[None, Lease], Lease]


class Queue(Protocol):
    """Where free workers are, and which orders they are given. Part of the ledger's state."""

    def add(self, worker: Pending[None, Lease]) -> None:
        """Note a worker that is free."""

    def ask(self, inbox: Inbox, *, is_closing: bool) -> None:
        """Ask for all that is wanted of the next commit."""

    def note(self, taken: Inbox, committed: Committed) -> None:
        """Bring what is kept in memory to what the store holds now."""

    def starts(self, taken: Inbox, committed: Committed) -> list[Start]:
        """Tell who is given what, of that which the commit started; call it once, after `note`."""

    def requeue(self, inbox: Inbox, taken: Inbox) -> None:
        """Take note that a commit failed; what workers asked is asked again."""

    def apply(self, news: StoreState) -> None:
        """Take note of what others have changed."""


class OwnQueue:
    """The front of the store's queue is here, in memory: nobody else changes it."""

    def __init__(self, ready: ReadyQueue, slots: FreeWorkers) -> None:
        """Give out what is in `ready` to who is in `slots`."""
        self._ready = ready
        self._slots = slots

    def add(self, worker: Pending[None, Lease]) -> None:
        """Keep `Queue.add`."""
        self._slots.add(worker)

    def ask(self, inbox: Inbox, *, is_closing: bool) -> None:
        """Keep `Queue.ask`: start the most urgent here; read on where too few are here."""
        inbox.claims += self._slots.match()
        inbox.page = None if is_closing else self._ready.missing()

    def note(self, taken: Inbox, committed: Committed) -> None:
        """Keep `Queue.note`."""
        self._ready.pause(committed.paused)
        for place in committed.queued:
            self._ready.push(place)
        if taken.page:
            self._ready.fill(taken.page, committed.page)
        self._slots.ended(orders=len(taken.settles) + len(taken.releases))

    def starts(self, taken: Inbox, committed: Committed) -> list[Start]:
        """Keep `Queue.starts`; a worker whose order waited no longer is free again."""
        found: list[Start] = []
        for (_, worker), lease in zip(taken.claims, committed.claimed, strict=True):
            if lease is None:
                self._slots.ended(orders=1)
                self._slots.add(worker)
            else:
                found.append((worker, lease))
        return found

    def requeue(self, inbox: Inbox, taken: Inbox) -> None:
        """Keep `Queue.requeue`."""
        inbox.claims[:0] = taken.claims

    def apply(self, news: StoreState) -> None:
        """Keep `Queue.hear`: nobody has changed anything."""


class SharedQueue:
    """The queue is in the store: at each commit the free workers take the most urgent there is.

    Nothing is fetched ahead, so an order that somebody else accepts meanwhile is passed by nobody.
    """

    def __init__(self, *, max_crashes: int) -> None:
        """Run alone what may take the process down, as Slots does."""
        self._alone = max_crashes - 1 or 1_000_000
        self._free: list[Pending[None, Lease]] = []
        self._busy = 0
        self._is_alone = False
        self._may_have_more = True
        """Whether it is worth asking: the latest that was heard says that some wait."""

    def add(self, worker: Pending[None, Lease]) -> None:
        """Keep `Queue.add`."""
        self._free.append(worker)
        self._may_have_more = True

    def ask(self, inbox: Inbox, *, is_closing: bool) -> None:
        """Keep `Queue.ask`."""
        self._free = [worker for worker in self._free if not worker.answer.done()]
        inbox.most_urgent = None
        if self._free and self._may_have_more and not (self._is_alone or is_closing):
            is_idle = not self._busy
            inbox.most_urgent = ClaimNext(most=len(self._free), is_idle=is_idle, alone=self._alone)

    def note(self, taken: Inbox, committed: Committed) -> None:
        """Keep `Queue.note`."""
        self._busy += len(committed.claimed_next) - len(taken.settles) - len(taken.releases)
        suspects = any(lease.crash_count >= self._alone for lease in committed.claimed_next)
        self._is_alone = (self._is_alone or suspects) and self._busy > 0
        asked = taken.most_urgent
        is_for_all = asked is not None and (asked.is_idle or self._busy > 0)
        if asked and is_for_all and len(committed.claimed_next) < asked.most:
            self._may_have_more = False
        else:  # which may be one that starts only now that nothing else is in process
            self.apply(committed)

    def starts(self, taken: Inbox, committed: Committed) -> list[Start]:  # noqa: ARG002
        """Keep `Queue.starts`; who was stopped meanwhile is among them, and takes none."""
        workers, self._free = (
            self._free[: len(committed.claimed_next)],
            self._free[len(committed.claimed_next) :],
        )
        return list(zip(workers, committed.claimed_next, strict=True))

    def requeue(self, inbox: Inbox, taken: Inbox) -> None:
        """Keep `Queue.requeue`: the workers are still here."""

    def apply(self, news: StoreState) -> None:
        """Keep `Queue.hear`."""
        self._may_have_more = any(
            counts.queued for tier, counts in news.counts.items() if tier not in news.paused
        )
