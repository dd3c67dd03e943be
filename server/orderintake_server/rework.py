"""Rework: what operators do about orders that failed or wait, one by one or many at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from orderintake_server.domain import REDRIVABLE, Action, Completion, NewOrder
from orderintake_server.errors import OrderNotFound, OrderNotRedrivable, RequestIdReused
from orderintake_server.store.changes import CancelWaiting
from orderintake_server.telemetry.spans import NO_SPAN
from orderintake_server.views import EVERY_ORDER, Selection

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.dispatch.committer import Committer
    from orderintake_server.domain import Operator, Order, Receipt
    from orderintake_server.store.base import Store
    from orderintake_server.stream.log import CompletionLog
    from orderintake_server.telemetry.spans import Span
    from orderintake_server.views import BulkDone, FailedOrder, FailureCounts

BULK_BYTES = 3 * 1024 * 1024
"""Of content that one call redrives at the most, as much as a batch may have."""
PAGE_BYTES = 224 * 1024
"""Of completions on one page of failures: with its counts it stays below 256 KiB."""


class Section(NamedTuple):
    """Where a call looks for orders: after one place of the list, up to another.

    The end is that of the first call: copies that fail at once, and orders that keep coming, are
    not looked at by the calls that go on after it, or those would never end.
    """

    after: int = 0
    until: int = 0
    """0: as far as the list goes at this moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """Many orders to be changed at once: the first `limit` that match in a section."""

    wanted: Selection
    section: Section
    limit: int
    by: Operator
    """Its request_id tells this call from others; it may have none."""


class BulkOutcome(NamedTuple):
    """How many orders a call changed, and where there may be more, None: nowhere."""

    orders: int
    is_replayed: bool
    rest: Section | None


class Rework:
    """Lists what failed, places it again, and cancels what waits."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        completions: CompletionLog,
        *,
        refuse_if_draining: Callable[[], None],
    ) -> None:
        """Read from this store; change it through this committer only."""
        self._store = store
        self._committer = committer
        self._completions = completions
        self._refuse_if_draining = refuse_if_draining

    async def failures(
        self, wanted: Selection, *, after: int, limit: int
    ) -> tuple[list[FailedOrder], int | None]:
        """Return the newest failures as `Selections.list_failures` does."""
        page, next_after = await self._store.selections.list_failures(
            wanted, after=after, limit=limit, max_bytes=PAGE_BYTES
        )
        if page:  # the cursors of completions that are shown must be valid from now on
            self._completions.publish(page[0].completion.sequence)
        return page, next_after

    async def count_failures(self, wanted: Selection) -> FailureCounts:
        """Count failures as `Selections.count_failures` does."""
        return await self._store.selections.count_failures(wanted)

    async def redrive(
        self,
        accept_sequence: int,
        *,
        by: Operator,
        trace: bytes | None = None,
        span: Span = NO_SPAN,
    ) -> Receipt:
        """Place a copy of an order that failed, was cancelled or expired; a repeat gets that copy.

        The copy is placed in this trace, whose `span` is linked to the one that placed the order.

        Raises OrderNotFound, OrderNotRedrivable, and what `place` raises except CustomerQuota.
        """
        self._refuse_if_draining()
        completion = await self._store.find(accept_sequence)
        if completion is None:
            raise OrderNotFound("there is no such order")
        if not isinstance(completion, Completion) or completion.order.state not in REDRIVABLE:
            raise OrderNotRedrivable("the order has not ended as FAILED, CANCELLED or EXPIRED")
        if completion.order.trace is not None:
            span.link(completion.order.trace)
        (receipt,) = await self._committer.accept((_copy(completion.order, by, trace),))
        return receipt

    async def redrive_many(self, bulk: Bulk, *, trace: bytes | None = None) -> BulkOutcome:
        """Place copies of many that failed, the oldest first, all or none, in this trace.

        Fewer than the limit, but one, where their content exceeds BULK_BYTES. A repeat tells what
        the first call with its request_id did, unless that did nothing.

        Raises what `place` raises, and RequestIdReused when the request_id cancelled orders.
        """
        self._refuse_if_draining()
        after, until = bulk.section.after, bulk.section.until or await self._newest_failure()
        found, next_after = await self._store.selections.list_failures(
            bulk.wanted, after=after, limit=bulk.limit, max_bytes=BULK_BYTES, newest_first=False
        )
        page = [failed for failed in found if failed.completion.sequence <= until]
        by = _named(bulk.by, until)
        done = await self._earlier(by, Action.REDRIVE_ORDER)
        if done is not None:
            last = await self._store.find(done.last)
            after = last.sequence if isinstance(last, Completion) else after
            return BulkOutcome(done.count, is_replayed=True, rest=_rest(after, done.until))
        if page:
            copies = tuple(_copy(failed.completion.order, by, trace) for failed in page)
            await self._committer.accept(copies)
        return await self._outcome(by, _rest(next_after, until))

    async def cancel_many(self, bulk: Bulk) -> BulkOutcome:
        """Cancel many that wait, in the order in which they were accepted, by one commit.

        What starts meanwhile goes on. A repeat tells what the first call with its request_id did,
        unless that did nothing.

        Raises StorageUnavailable, and RequestIdReused when the request_id redrove orders.
        """
        until = bulk.section.until or await self._newest_order()
        found, next_after = await self._store.selections.list_waiting(
            bulk.wanted, after=bulk.section.after, limit=bulk.limit
        )
        numbers = [number for number in found if number <= until]
        by = _named(bulk.by, until)
        done = await self._earlier(by, Action.CANCEL_ORDER)
        if done is not None:
            return BulkOutcome(done.count, is_replayed=True, rest=_rest(done.last, done.until))
        if numbers:
            await self._committer.cancel_waiting(CancelWaiting(numbers, by))
        return await self._outcome(by, _rest(next_after, until))

    async def _newest_failure(self) -> int:
        """Return the sequence of the newest failure, 0 if there is none."""
        found, _ = await self._store.selections.list_failures(
            Selection(is_redriven_too=True), after=0, limit=1, max_bytes=PAGE_BYTES
        )
        return found[0].completion.sequence if found else 0

    async def _newest_order(self) -> int:
        """Return the accept sequence of the newest order, 0 if there is none."""
        found, _ = await self._store.list_orders(EVERY_ORDER, after=0, limit=1, newest_first=True)
        return found[0].accept_sequence if found else 0

    async def _earlier(self, by: Operator, action: Action) -> BulkDone | None:
        """Return what an earlier call of this request_id did.

        It is asked after the orders were read: what that call changed since then, this one cannot
        change again, and nothing else is changed in its place.
        """
        done = await self._store.selections.find_bulk(by.request_id)
        if done is not None and done.action is not action:
            raise RequestIdReused(
                request_id=by.request_id,
                accept_sequence=done.last,
                used_for=f"another call: {done.action.name}",
            )
        return done

    async def _outcome(self, by: Operator, rest: Section | None) -> BulkOutcome:
        """Tell what was done by what is recorded of it: others may have done some of it before."""
        done = await self._store.selections.find_bulk(by.request_id)
        return BulkOutcome(done.count if done else 0, is_replayed=False, rest=rest)


def _rest(after: int | None, until: int) -> Section | None:
    """Return where there may be more, if anywhere."""
    return None if after is None or after >= until else Section(after, until)


def _named(by: Operator, until: int) -> Operator:
    """Note where a call's list ends; give it a request_id that has none, to tell what it did."""
    return replace(by, request_id=by.request_id or uuid4().hex, until=until)


def _copy(original: Order, by: Operator, trace: bytes | None) -> NewOrder:
    return NewOrder(
        customer_id=original.customer_id,
        request_id=f"{_OWN_PREFIX}redrive {original.accept_sequence}",
        tier=original.tier,
        content=original.content,
        redrive_of=original.accept_sequence,
        trace=trace,
        by=by,
    )


_OWN_PREFIX = "\x1f"
"""Begins the service's own request_ids: a caller's request_id has printable characters only."""
