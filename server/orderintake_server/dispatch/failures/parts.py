"""The parts of a commit that the store refused: which of them is guilty, and what becomes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from orderintake_server.dispatch.inbox import Batch, Inbox, Starts
from orderintake_server.domain import Ending, Event, Failure
from orderintake_server.logger import get_logger
from orderintake_server.store.work import NOT_STORED, AttemptEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.dispatch.requests.pending import Pending, Said
    from orderintake_server.domain import Lease
    from orderintake_server.errors import StoreRefused

log = get_logger()


class Parts:
    """The parts of a commit that the store refused, each of which is tried by itself.

    Each refused part is halved: a few commits find one guilty request among a thousand.
    """

    def __init__(self) -> None:
        """Begin without a refused commit."""
        self._parts: list[Inbox] = []
        """The next one is the last. An empty one stands for what the queue wants."""

    def __bool__(self) -> bool:
        """Whether there is a part to be tried."""
        return bool(self._parts)

    def split(self, batch: Batch) -> bool:
        """Note the parts of a batch; False: it has only one, which is guilty by itself."""
        inbox, is_mixed = batch.inbox, bool(batch.starts or batch.prune)
        if len(inbox) <= 1 and not (inbox and is_mixed) and not (batch.starts and batch.prune):
            return False
        if batch.starts:
            self._parts.append(Inbox())
        if len(inbox) > 1:
            self._parts += reversed(inbox.halves())
        elif inbox:
            self._parts.append(inbox)
        return True

    def next(self, wanted: Callable[[], Starts]) -> Batch:
        """Return the next part; `wanted` tells what the queue wants."""
        inbox = self._parts.pop()
        return Batch(inbox=inbox, starts=Starts() if inbox else wanted(), prune=None)

    def rejoin(self, inbox: Inbox) -> None:
        """Move all parts into the inbox of the part before them: nothing is tried apart now."""
        while self._parts:
            inbox.add(self._parts.pop())


class Requests(Protocol):
    """What workers request of the committer."""

    def settle(self, lease: Lease, ending: Ending) -> None:
        """Request that the end of an attempt be recorded."""

    def release(self, lease: Lease) -> None:
        """Request that an order wait again."""


_NOT_STORED = Ending(
    event=Event.FAIL,
    failure=Failure(code=NOT_STORED, message="the store does not take what the attempt came to"),
)
"""How an attempt ends whose own outcome the store refuses."""


def settle_otherwise(
    guilty: Inbox, refused: StoreRefused, requests: Requests, *, seconds: float
) -> None:
    """Fail the order whose outcome the store refuses; what is refused even then, in `seconds`."""
    for settle in guilty.settles:
        _log(
            "outcome not stored: the store refuses it", settle.lease.order.accept_sequence, refused
        )
        if settle.ending is _NOT_STORED:
            _later(seconds, requests.settle, settle.lease, _NOT_STORED)
        else:
            requests.settle(settle.lease, _NOT_STORED)
    for lease in guilty.releases:
        _log("order not released: the store refuses it", lease.order.accept_sequence, refused)
        _later(seconds, requests.release, lease)


def said_otherwise(guilty: Inbox, refused: StoreRefused) -> list[Pending[Said, Any]]:
    """Take out the reports whose ending the store refuses; return them as failures instead."""
    again: list[Pending[Said, Any]] = []
    for pending in guilty.said:
        said = pending.item
        if isinstance(said, AttemptEnd) and said.ending not in (None, _NOT_STORED):
            _log("outcome not stored: the store refuses it", said.key.accept_sequence, refused)
            pending.item = AttemptEnd(said.key, _NOT_STORED)
            again.append(pending)
    guilty.said = [pending for pending in guilty.said if pending not in again]
    return again


def _later(seconds: float, request: Callable[..., None], *values: object) -> None:
    asyncio.get_running_loop().call_later(seconds, request, *values)


def _log(event: str, accept_sequence: int, refused: StoreRefused) -> None:
    log.error(event, accept_sequence=accept_sequence, error=str(refused))
