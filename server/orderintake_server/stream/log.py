"""The completion log as its readers see it: what is new is read once, for all who wait for it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import structlog

from orderintake_server.errors import CursorExpired, StoreAway
from orderintake_server.stream.ring import MESSAGE_BYTES, Cut, Entry, Ring
from orderintake_server.views import EVERY_ORDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from orderintake_server.domain import Completion, Tier
    from orderintake_server.store.base import Store
    from orderintake_server.views import LogPage, OrderFilter

    _Waiting = set[asyncio.Future["Woken"]]

PAGE_ENTRIES = 256
"""Completions that are read and encoded at once: some 5 ms, for which all else waits."""
PAGE_BYTES = 1024 * 1024
AWAY_SECONDS = 0.25
"""Between two attempts to read a log that cannot be reached."""

log = structlog.get_logger()


class Woken(NamedTuple):
    """Why a wait is over: up to the sequence `after`, nothing came that was waited for."""

    after: int
    is_silent: bool = False
    """Nothing came, the time was up."""


class CompletionLog:
    """The bounds of the log, its newest completions, and the subscribers that wait for more.

    One task, `run`, reads what is new, once for all. A subscriber that has fallen behind reads the
    log for itself. This object alone knows, and changes, where the log begins and ends.
    """

    def __init__(
        self,
        store: Store,
        encode: Callable[[Completion], bytes],
        *,
        head: int,
        earliest: int,
        ring: Ring | None = None,
    ) -> None:
        """Begin with the log as it was found: `head` is its newest completion.

        `earliest` is the newest one that was forgotten, 0 if none was. What `encode` gives of
        several completions can be joined to one message.
        """
        self._store = store
        self._encode = encode
        self._moved = asyncio.Event()
        self._waiting: dict[tuple[str | None, Tier | None], _Waiting] = {}
        self.ring = ring or Ring(head)
        self.head = head
        self.earliest = earliest
        self.subscribers = 0
        self.is_closed = self.is_over = False

    def publish(self, head: int) -> None:
        """Know that the log is durable up to `head`."""
        if head > self.head:
            self.head = head
            self._moved.set()

    def forget(self, earliest: int) -> None:
        """Know that completions up to `earliest` were forgotten."""
        self.earliest = max(self.earliest, earliest)

    def close(self) -> None:
        """Let every subscriber that keeps up have what has completed so far, then end."""
        self.is_closed = True
        self._moved.set()

    @contextmanager
    def subscriber(self) -> Iterator[None]:
        """Count one more subscriber inside; without any, nobody reads what is new."""
        if not self.subscribers:
            self.ring.restart(self.head)
            self._moved.set()
        self.subscribers += 1
        try:
            yield
        finally:
            self.subscribers -= 1

    # What is new

    async def run(self) -> None:
        """Read what is new and wake those who wait for it, until closed.

        Raises StoreBroken or StoreFull when the store cannot be read.
        """
        try:
            while await self._has_more():
                await self._read_on()
        finally:
            self.is_over = True
            self._wake_all()

    async def _has_more(self) -> bool:
        """Wait until somebody wants to know what is new; False when closed and all is known."""
        while not self.subscribers or self.ring.end >= self.head:
            if self.is_closed:
                return False
            self._moved.clear()
            await self._moved.wait()
        return True

    async def _read_on(self) -> None:
        after = self.ring.end
        try:
            page = await self._store.read_log(
                EVERY_ORDER, after=after, limit=PAGE_ENTRIES, max_bytes=PAGE_BYTES
            )
        except StoreAway as away:
            await self._wait_for_store(away)
            return
        except CursorExpired:  # pruned before it was read; subscribers that want it are told so
            self.ring.restart(self.head)
            self._wake_all()
            return
        if self.ring.end == after:  # else all subscribers left, and others came
            entries = [self._entry(completion) for completion in page.completions]
            self.ring.extend(entries)
            self._wake(entries)

    async def _wait_for_store(self, away: StoreAway) -> None:
        """Try again a little later; at the end, subscribers come back with their cursors."""
        log.warning("reading the completion log failed", error=str(away))
        if self.is_closed:
            self.ring.restart(self.head)
        else:
            await asyncio.sleep(AWAY_SECONDS)

    def _entry(self, completion: Completion) -> Entry:
        order = completion.order
        return Entry(completion.sequence, order.customer_id, order.tier, self._encode(completion))

    # Subscribers that wait

    async def wait(self, wanted: OrderFilter, *, seconds: float) -> Woken:
        """Wait at the ring's end until something wanted comes, all is over, or the time is up."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[Woken] = loop.create_future()
        key = wanted.customer_id, wanted.tier
        waiting = self._waiting.setdefault(key, set())
        waiting.add(woken)
        timer = loop.call_later(seconds, self._time_up, woken)
        try:
            return await woken
        finally:
            timer.cancel()
            waiting.discard(woken)
            if not waiting and self._waiting.get(key) is waiting:
                del self._waiting[key]

    def _time_up(self, woken: asyncio.Future[Woken]) -> None:
        _tell((woken,), Woken(self.ring.end, is_silent=True))

    def _wake(self, entries: Sequence[Entry]) -> None:
        """Wake the subscribers that want one of these completions, each at the first it wants."""
        for sequence, customer_id, tier, _ in entries:
            for key in ((None, None), (None, tier), (customer_id, None), (customer_id, tier)):
                _tell(self._waiting.pop(key, ()), Woken(sequence - 1))

    def _wake_all(self) -> None:
        """Wake every subscriber, to look for itself."""
        waiting, self._waiting = self._waiting, {}
        for group in waiting.values():
            _tell(group, Woken(0))

    # Reading the log itself

    async def read(
        self, wanted: OrderFilter, *, after: int, limit: int, from_earliest: bool = False
    ) -> LogPage:
        """Read a page of the log, as much as one message may hold.

        Raises CursorExpired when some of what follows `after` has been forgotten; with
        `from_earliest` the page begins with the earliest completion that is still there.
        """
        while True:
            try:
                page = await self._store.read_log(
                    wanted, after=after, limit=limit, max_bytes=MESSAGE_BYTES
                )
            except CursorExpired as expired:
                after = self._after_forgotten(expired, may_skip=from_earliest)
            else:
                self.publish(page.end)  # a cursor there must be good from now on
                return page

    def _after_forgotten(self, expired: CursorExpired, *, may_skip: bool) -> int:
        """Tell after what was forgotten to read on, for a reader to whom it does not matter."""
        self.forget(expired.earliest)
        if not may_skip:
            raise expired
        return expired.earliest

    def encoded(self, page: LogPage) -> Cut:
        """Encode a page of the log as the ring's completions are."""
        return Cut(b"".join(map(self._encode, page.completions)), page.end)


def _tell(waiting: Iterable[asyncio.Future[Woken]], why: Woken) -> None:
    for woken in waiting:
        if not woken.done():
            woken.set_result(why)
