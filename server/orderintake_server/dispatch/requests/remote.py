"""What workers in processes of their own request of the committer, and what commits answer."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from orderintake_server.dispatch.requests.loads import Closed
from orderintake_server.dispatch.requests.pending import Offer, Pending, WorkerDeath, WorkerEnd
from orderintake_server.dispatch.requests.said import answers
from orderintake_server.holders import LentLease, key_of
from orderintake_server.store.work import AttemptEnd, WorkerState, WorkerWord

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Collection, Mapping, Sequence

    from orderintake_server.dispatch.inbox import Inbox
    from orderintake_server.dispatch.queues import Queue
    from orderintake_server.dispatch.requests.pending import Bell, Said
    from orderintake_server.domain import Ending, Lease, State
    from orderintake_server.holders import Holder, LeaseKey, TakenBack
    from orderintake_server.store.changes import Committed, StoreState


class RemoteRequests:
    """The requests of workers. A caller that leaves loses only the answer.

    Every answer may be StorageUnavailable instead, which is raised at once when the store is
    broken, or the last commit was made; then the request may be repeated. All answers of one commit
    are given in one turn of the event loop.
    """

    def __init__(self, inbox: Inbox, queue: Queue, bell: Bell, check: Callable[[], None]) -> None:
        """Put requests into `inbox` and ring; `check` raises when nothing is stored any more."""
        self._inbox = inbox
        self._queue = queue
        self._bell = bell
        self._check = check
        self.unawaited = 0
        """How many orders waited again because nobody waited for the answer that gave them."""
        self.on_news: Callable[[Collection[str]], object] = lambda _: None
        """Called with the ids of workers that have news, see StoreState.news; and with those of
        which an attempt was ended for them."""
        self.on_recorded: Callable[[AttemptEnd, State], object] = lambda *_: None
        """Called for each report that was recorded, but not when it is answered again."""
        self.on_overdue: Callable[[Mapping[LeaseKey, str]], object] = lambda _: None
        """Called with attempts that take longer than they may, see Committed.overdue."""

    def offer(self, holder: Holder, slots: int) -> Future[list[LentLease]]:
        """Offer free slots of a worker, by one of its calls, to the most urgent orders.

        The answer is what the first commit gave that gave anything, most urgent first, at most
        `slots`; the other slots are free again. It is empty when the worker takes nothing any more.
        Cancel it to withdraw the slots: what a commit that is under way gives them waits again,
        uncounted. The commit that records what was reported before may answer it too.
        """
        self._check()
        offer = Offer(holder, left=slots)
        self._queue.add(offer)
        self._bell.ring()
        return offer.answer

    def report(self, key: LeaseKey, ending: Ending | None) -> Future[State | None]:
        """Report how an attempt ended; None: it was not made. See `Work.reports`.

        The answer is what that made of the order; None: the lease was lost, and nothing changed.
        What the store does not take of an ending becomes its order's failure.
        """
        return self._say(AttemptEnd(key, ending))

    def word(self, word: WorkerWord) -> Future[WorkerState]:
        """Note what is known of a worker. When it stops, its calls that wait end at once."""
        if word.is_stopping:
            self._queue.close(word.worker_id, Closed.STOPS)
        return self._say(word)

    def end(self, worker_id: str) -> Future[list[TakenBack]]:
        """End a worker; its calls that wait end at once. The answer is what it had."""
        self._queue.close(worker_id, Closed.HAS_ENDED)
        return self._say(WorkerEnd(worker_id))

    def bury(self, worker_id: str) -> Future[list[TakenBack]]:
        """Note that a worker died; its calls that wait end at once. The answer is what it had.

        Where that is refused, it lives as before.
        """
        said: Future[list[TakenBack]] = self._say(WorkerDeath(worker_id))
        self._queue.close(worker_id, Closed.IS_THOUGHT_DEAD)
        said.add_done_callback(lambda _: self._queue.reopen(worker_id, Closed.IS_THOUGHT_DEAD))
        return said

    def release(self, lease: LentLease) -> None:
        """Let an order wait again of which the worker was not told; its attempt is not counted."""
        self.unawaited += 1
        self._inbox.releases.append(lease)
        self._bell.ring()

    def _say(self, said: Said) -> Future[Any]:
        self._check()
        pending: Pending[Said, Any] = Pending(said)
        self._inbox.said.append(pending)
        self._bell.ring()
        return pending.answer

    # After a commit

    def apply(self, batch: Inbox, committed: Committed) -> None:
        """Note what the commit did, before its starts are given out."""
        released = [key_of(each) for each in batch.releases if isinstance(each, LentLease)]
        done = committed.work
        self._queue.taken(released)
        if done is None:
            return
        ended = zip(_reports(batch), done.reports, strict=True)
        self._queue.taken(report.key for report, state in ended if state is not None)
        for taken in (*done.ends, *done.deaths):
            self._queue.taken(key for key, _ in taken)
        for each in batch.said:
            if isinstance(each.item, WorkerDeath):
                self._queue.reopen(each.item.worker_id, Closed.STOPS)

    def answer(self, batch: Inbox, committed: Committed) -> None:
        """Answer what was said, and tell what is to be told."""
        self.tell(committed)
        if committed.overdue:
            self.on_overdue(committed.overdue)
        if committed.work is None:
            return
        for pending, answer in answers(batch.said, committed.work):
            pending.resolve(answer)
        said = zip(_reports(batch), committed.work.reports, strict=True)
        for place, (report, state) in enumerate(said):
            if state is not None and place not in committed.work.repeated:
                self.on_recorded(report, state)

    def give(self, starts: Sequence[tuple[Offer, Lease]]) -> None:
        """Answer the calls that a commit gave orders, each once with all of its own."""
        given: dict[int, tuple[Offer, list[LentLease]]] = {}
        for offer, lease in starts:
            if isinstance(lease, LentLease):
                given.setdefault(id(offer), (offer, []))[1].append(lease)
        lost = [leases for offer, leases in given.values() if not offer.resolve(leases)]
        for lease in chain.from_iterable(lost):
            self.release(lease)

    def tell(self, state: StoreState) -> None:
        """Tell who has news."""
        if state.news:
            self.on_news(state.news)


def _reports(batch: Inbox) -> list[AttemptEnd]:
    """Return what workers reported of attempts, in its order."""
    return [each.item for each in batch.said if isinstance(each.item, AttemptEnd)]
