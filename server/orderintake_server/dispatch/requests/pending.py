"""A request that waits for its answer, and the bell that tells that there is one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar

from orderintake_server.holders import Holder, LentLease
from orderintake_server.store.work import AttemptEnd, WorkerWord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import Lease, NewOrder, Receipt

QUIET_TURNS = 40
"""A burst of requests is over when so many turns of the event loop brought nothing new: a tenth of
a millisecond, in which callers that were just answered call again, and the transport's thread hands
that over. With 25 to 80 a commit is as cheap, with 6 a sixth dearer. Measured with the part core of
bench/."""
BURST_SECONDS = 0.01
"""A burst is waited for no longer, however long it goes on: about as long as 64 calls take to read.
"""

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@dataclass(slots=True, eq=False)
class Pending(Generic[_Item, _Answer]):
    """A request to the committer, and the future for its answer."""

    item: _Item
    answer: asyncio.Future[_Answer] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def resolve(self, answer: _Answer) -> bool:
        """Answer the request; False when nobody waits for the answer any more."""
        if self.answer.done():
            return False
        self.answer.set_result(answer)
        return True

    def reject(self, refusal: Exception) -> None:
        """Answer the request with a refusal, if somebody still waits for the answer."""
        if not self.answer.done():
            self.answer.set_exception(refusal)


class Several:
    """Orders that are accepted each for itself, and whose answers are awaited together.

    So they need one future, where each Pending has its own.
    """

    __slots__ = ("_left", "answered")

    def __init__(self, orders: int) -> None:
        """Begin with so many that have no answer."""
        self._left = orders
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Has a result when all have an answer."""

    def note(self) -> None:
        """Note that one more has its answer."""
        self._left -= 1
        if not self._left and not self.answered.done():
            self.answered.set_result(None)


class OneOf:
    """One of several orders, in the committer's inbox as a Pending is; and its answer."""

    __slots__ = ("answer", "item", "paid", "several")

    def __init__(
        self, several: Several, item: tuple[NewOrder], paid: Sequence[NewOrder] = ()
    ) -> None:
        """Begin without an answer; with the order again, if its customer paid a token for it."""
        self.several, self.item, self.paid = several, item, paid
        self.answer: tuple[Receipt, ...] | Exception | None = None

    def resolve(self, answer: tuple[Receipt, ...] | Exception) -> None:
        """Answer the request, with the receipt or a refusal."""
        self.answer = answer
        self.several.note()

    reject = resolve


Accept: TypeAlias = "Pending[tuple[NewOrder, ...], tuple[Receipt, ...]] | OneOf"
"""A request to accept a group of orders, all or none."""
FreeSlot: TypeAlias = Pending[None, "Lease"]
"""A slot of this process that waits for an order; the answer is the order's lease."""


@dataclass(slots=True, eq=False)
class Offer(Pending[Holder, list[LentLease]]):
    """Slots of a worker that wait for orders; the answer is the leases of one commit."""

    left: int = 0
    """How many of the slots are free."""


class WorkerEnd(NamedTuple):
    """Asks for a worker to be ended, as `Work.ends`."""

    worker_id: str


class WorkerDeath(NamedTuple):
    """Tells that a worker died, as `Work.deaths`."""

    worker_id: str


Said: TypeAlias = AttemptEnd | WorkerWord | WorkerEnd | WorkerDeath
"""What is said of workers."""


class Bell:
    """Wakes the one who waits; a ring before the wait ends that at once.

    It does what an Event under a timeout does, for a third of that.
    """

    def __init__(self) -> None:
        """Begin silent."""
        self._has_rung = False
        self._rings = 0
        self._wait: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """End the wait, now or when it begins."""
        self._has_rung = True
        self._rings += 1
        if self._wait is not None:
            self._wake()

    def silence(self) -> None:
        """Forget the rings so far."""
        self._has_rung = False

    async def whole_burst(self) -> None:
        """Wait until it rings no more for a moment: a commit of many requests costs less."""
        until, heard, quiet_turns = monotonic() + BURST_SECONDS, self._rings, 0
        while quiet_turns < QUIET_TURNS and monotonic() < until:
            await asyncio.sleep(0)
            quiet_turns = quiet_turns + 1 if heard == self._rings else 0
            heard = self._rings

    async def wait(self, seconds: float) -> None:
        """Wait for a ring, so long at the most."""
        if self._has_rung:
            return
        loop = asyncio.get_running_loop()
        wait = self._wait = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await wait
        finally:
            timer.cancel()
            self._wait = None

    def _wake(self) -> None:
        wait, self._wait = self._wait, None
        if wait is not None and not wait.done():
            wait.set_result(None)
