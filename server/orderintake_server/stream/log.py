"""The head of the completion log: new completions are read once, for all waiting subscribers."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.domain import Tier
from orderintake_server.errors import (
    CursorAhead,
    CursorExpired,
    StoreError,
    StoreObstacle,
    StoreRefused,
    TooManyStreams,
)
from orderintake_server.stream.pages import LogPages
from orderintake_server.stream.ring import Entry, Ring
from orderintake_server.telemetry import Outage
from orderintake_server.views import EVERY_ORDER, StartAt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from orderintake_server.store.base import Store
    from orderintake_server.store.rows import CompletionRow
    from orderintake_server.stream.subscription import Subscription
    from orderintake_server.views import LogPage, OrderFilter, ReadFrom

    _Waiting = set[asyncio.Future["Woken"]]

PAGE_ENTRIES = 256
"""Completions read and encoded at once: about 2 ms of a thread's time."""
PAGE_BYTES = 1024 * 1024
MOST_SUBSCRIBERS = 1_000
_TIERS = {tier.value: tier for tier in Tier}
AWAY_SECONDS = 0.25
"""Seconds between two attempts to read the log while the store is away."""


class Woken(NamedTuple):
    """The end of a wait: up to sequence `after`, no wanted completion came."""

    after: int
    is_silent: bool = False
    """The wait ended because its time was up."""


class CompletionLog:
    """The bounds of the log, its newest completions, and the subscribers that wait for more.

    One task, `run`, reads new completions once, for all subscribers. Those that have fallen behind
    read pages of the log. Only this object keeps where the log begins and ends.
    """

    def __init__(  # noqa: PLR0913 - each but the first two is given by name
        self,
        store: Store,
        encode: Callable[[CompletionRow], bytes],
        *,
        head: int,
        earliest: int,
        most_subscribers: int = MOST_SUBSCRIBERS,
        ring: Ring | None = None,
    ) -> None:
        """Begin with the bounds of the log: `head` is the sequence of its newest completion.

        `earliest` is the sequence of the newest completion that was pruned, 0 if none was. There
        may be `most_subscribers` at once. The bytes that `encode` returns for several completions
        can be joined to one message; it is called in any thread.
        """
        self._store = store
        self._encode = encode
        self._changed = asyncio.Event()
        self._waiting: dict[tuple[str | None, Tier | None], _Waiting] = {}
        self.ring = ring or Ring(head)
        self.pages = LogPages(store, encode, bounds=self)
        self.head = head
        self.earliest = earliest
        self.subscribers = 0
        self._most_subscribers = most_subscribers
        self.subscriptions: set[Subscription] = set()
        self.is_closed = self.is_over = False
        self._unreadable = Outage(
            "the completion log cannot be read",
            "the completion log can be read again",
            level=logging.WARNING,
        )

    def publish(self, head: int) -> None:
        """Note that the log is durable up to sequence `head`."""
        if head > self.head:
            self.head = head
            if self.subscribers:
                self._changed.set()

    def note_pruned(self, earliest: int) -> None:
        """Note that completions up to sequence `earliest` were pruned."""
        self.earliest = max(self.earliest, earliest)

    async def after(self, start: ReadFrom) -> int:
        """Return the sequence after which to read; raise CursorAhead or CursorExpired.

        Where other processes write and prune the log too, its bounds are read from the store when
        the known ones do not settle the question.
        """
        is_known = isinstance(start, int) and start <= self.head
        if self._store.is_shared and not is_known:
            earliest, head = await self._store.bounds()
            self.note_pruned(earliest)
            self.publish(head)
        if isinstance(start, StartAt):
            return self.earliest if start is StartAt.EARLIEST else self.head
        self._refuse_ahead(start)
        self.refuse_pruned(start)
        return start

    def _refuse_ahead(self, after: int) -> None:
        if after > self.head:
            raise CursorAhead(
                f"the cursor is at {after}, the log's head at {self.head}: "
                "the log was restored from an older copy"
            )

    def refuse_pruned(self, after: int) -> None:
        """Raise CursorExpired when it is known that some completions after `after` were pruned."""
        if after < self.earliest:
            raise CursorExpired(earliest=self.earliest)

    def close(self) -> None:
        """Send every subscriber that keeps up what has completed so far, then end."""
        self.is_closed = True
        self._changed.set()

    @contextmanager
    def subscriber(self) -> Iterator[None]:
        """Count one more subscriber while inside; without subscribers, `run` reads nothing.

        Raises TooManyStreams when there are as many as there may be.
        """
        if self.subscribers >= self._most_subscribers:
            raise TooManyStreams(
                f"this server has {self.subscribers} completion streams, the most that it may have"
            )
        if not self.subscribers:
            self.ring.restart(self.head)
            self._changed.set()
        self.subscribers += 1
        try:
            yield
        finally:
            self.subscribers -= 1

    @property
    def lag(self) -> int:
        """How many completions the slowest subscriber has yet to look at; 0 without one."""
        return max((each.lag for each in self.subscriptions), default=0)

    # New completions

    async def run(self) -> None:
        """Read new completions and wake the subscribers that wait for them, until closed.

        Raises StoreBroken when the store cannot continue; other errors of it are waited out.
        """
        try:
            while await self._has_more():
                await self._read_next()
        finally:
            self.is_over = True
            self._wake_all()

    async def _has_more(self) -> bool:
        """Wait until there are new completions and subscribers; False: closed, and all was read."""
        while not self.subscribers or self.ring.end >= self.head:
            if self.is_closed:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    async def _read_next(self) -> None:
        """Read the page of the log after the ring's end, and wake the subscribers that want it."""
        after = self.ring.end
        try:
            page: LogPage[Entry] = await self._store.read_log(
                EVERY_ORDER,
                after=after,
                limit=PAGE_ENTRIES,
                max_bytes=PAGE_BYTES,
                read=self._entry,
            )
        except (StoreObstacle, StoreRefused) as error:
            await self._wait_for_store(error)
            return
        except CursorExpired:  # pruned before it was read: subscribers get CursorExpired themselves
            self.ring.restart(self.head)
            self._wake_all()
            return
        self._unreadable.is_over()
        if self.ring.end == after:  # otherwise all subscribers left, others came, and it restarted
            self.ring.extend(page.completions)
            self._wake(page.completions)

    async def _wait_for_store(self, error: StoreError) -> None:
        """Wait before the next attempt; when closed, give up: subscribers resume elsewhere."""
        self._unreadable.goes_on(error)
        if self.is_closed:
            self.ring.restart(self.head)
        else:
            await asyncio.sleep(AWAY_SECONDS)

    def _entry(self, row: CompletionRow) -> Entry:
        """Encode a completion, in whichever thread reads it."""
        return Entry(row.sequence, row.customer_id, _TIERS[row.tier], self._encode(row))

    # Subscribers that wait

    async def wait(self, wanted: OrderFilter, *, seconds: float) -> Woken:
        """Wait at the ring's end until a wanted completion comes, `run` ends, or the time is up."""
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
        _resolve((woken,), Woken(self.ring.end, is_silent=True))

    def _wake(self, entries: Sequence[Entry]) -> None:
        """Wake each subscriber that wants one of these completions, before the first it wants."""
        for sequence, customer_id, tier, _ in entries:
            for key in ((None, None), (None, tier), (customer_id, None), (customer_id, tier)):
                _resolve(self._waiting.pop(key, ()), Woken(sequence - 1))

    def _wake_all(self) -> None:
        """Wake every subscriber, so that it looks at the log again."""
        waiting, self._waiting = self._waiting, {}
        for group in waiting.values():
            _resolve(group, Woken(0))


def _resolve(waiting: Iterable[asyncio.Future[Woken]], result: Woken) -> None:
    for woken in waiting:
        if not woken.done():
            woken.set_result(result)
