"""What callers and this process's own slots request of the committer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orderintake_server.dispatch.inbox import Inbox
from orderintake_server.dispatch.requests.pending import Bell, Pending
from orderintake_server.dispatch.requests.remote import RemoteRequests
from orderintake_server.errors import QueueFull, StorageUnavailable
from orderintake_server.process.loop import Futures
from orderintake_server.store.changes import Cancel, Pause, Settlement

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import MutableSequence

    from orderintake_server.dispatch.inbox import CommitPolicy
    from orderintake_server.dispatch.queues import Queue
    from orderintake_server.dispatch.requests.pending import Accept, FreeSlot
    from orderintake_server.domain import (
        Cancelled,
        Ending,
        Lease,
        NewOrder,
        Operator,
        Receipt,
        Tier,
    )
    from orderintake_server.store.changes import CancelWaiting

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class OwnRequests:
    """The requests that wait for a commit, and how each is made."""

    def __init__(self, queue: Queue, policy: CommitPolicy) -> None:
        """Begin without any; free slots are added to `queue`."""
        self._queue = queue
        self._policy = policy
        self._inbox = Inbox()
        self._bell = Bell()
        self._futures = Futures()
        self._pending_orders = 0
        self._is_closing = self._has_ended = self.is_broken = False
        self.remote = RemoteRequests(self._inbox, queue, self._bell, self._refuse_if_over)
        """The requests of workers in processes of their own."""

    def accept(self, group: tuple[NewOrder, ...]) -> Future[tuple[Receipt, ...]]:
        """Request that a group of orders be accepted, all or none.

        The answer is the receipts, or RequestIdReused, QueueFull, CustomerQuota, InvalidOrder,
        StorageUnavailable or StoreRefused. Raises what `ask` does.
        """
        accept: Pending[tuple[NewOrder, ...], tuple[Receipt, ...]]
        accept = Pending(group, self._futures.new())
        self.ask(accept)
        return accept.answer

    def ask(self, accept: Accept) -> None:
        """Request what `accept` does; the request itself gets the answer.

        Raises QueueFull when too many orders wait for a commit, StorageUnavailable when the store
        is broken, or the last commit was made.
        """
        self._refuse_if_over()
        if self._pending_orders + len(accept.item) > self._policy.pending_orders:
            raise QueueFull("too many orders wait to be stored", retry_after=0.1)
        self._pending_orders += len(accept.item)
        self._inbox.accepts.append(accept)
        self._bell.ring()

    def cancel(self, accept_sequence: int, by: Operator | None = None) -> Future[Cancelled | None]:
        """Request that an order be cancelled; the answer is None when there is no such order.

        The answer may be StorageUnavailable, which is raised at once when the store is broken, or
        the last commit was made.
        """
        self._refuse_if_over()
        return self._request(self._inbox.cancels, Cancel(accept_sequence, by))

    def cancel_waiting(self, asked: CancelWaiting) -> Future[None]:
        """Request that many orders be cancelled, if they wait; it may be refused as `cancel` is."""
        self._refuse_if_over()
        return self._request(self._inbox.cancels_waiting, asked)

    def pause(self, tier: Tier, *, is_paused: bool, by: Operator | None = None) -> Future[None]:
        """Request that a tier be paused or resumed; it may be refused as `cancel` is."""
        self._refuse_if_over()
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
        slot: FreeSlot = Pending(None, self._futures.new())
        self._queue.add(slot)
        self._bell.ring()
        return slot.answer

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

    def close(self) -> None:
        """Let `run` return when every request is durable, or cannot be made durable."""
        self._is_closing = True
        self._bell.ring()

    def _refuse_if_over(self) -> None:
        if self.is_broken:
            raise StorageUnavailable("the store is broken; the service is ending")
        if self._has_ended:
            raise StorageUnavailable("the server has stored its last; it is stopping")
