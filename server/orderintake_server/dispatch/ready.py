"""The ready queue: the orders that may start, most urgent first, in bounded memory."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush

from orderintake_server.domain import QueueEntry, Tier
from orderintake_server.store.changes import Page

WINDOW = 4_096
"""Entries read from the store at a time; at most twice as many are kept: about 1 MiB."""

_BEFORE_ALL = QueueEntry(-1, 0, Tier.VIP, 0)


class ReadyQueue:
    """The front of the store's queue, as an asyncio.PriorityQueue.

    Every queued order up to the horizon is in memory; an order beyond it is in the store only. So
    the most urgent order in memory is the most urgent of all, and memory does not grow with the
    backlog. Orders of paused tiers are in the store only.
    """

    def __init__(self, *, window: int = WINDOW) -> None:
        """Begin with nothing in memory: every order in the store is beyond the horizon."""
        self._window = window
        self._queue = _Heap()
        self._horizon: QueueEntry | None = _BEFORE_ALL
        self._paused: frozenset[Tier] = frozenset()

    def __len__(self) -> int:
        """Return how many entries are in memory."""
        return self._queue.qsize()

    def is_empty(self) -> bool:
        """Whether no order may start: nothing is in memory, and nothing beyond it."""
        return self._horizon is None and self._queue.empty()

    def first(self) -> QueueEntry | None:
        """Return the most urgent entry, if there is one."""
        return self._queue.first()

    def pop(self) -> QueueEntry:
        """Remove and return the most urgent entry; there must be one."""
        return self._queue.pop()

    def push(self, entry: QueueEntry) -> None:
        """Add an entry that is in the store now, unless it is beyond the horizon."""
        if entry.tier in self._paused:
            return
        if self._horizon is not None and entry[:2] > self._horizon[:2]:
            return  # only rank and sequence count: a released entry may have another crash count
        if self._queue.push(entry) > 2 * self._window:
            self._bound()

    def pause(self, tiers: frozenset[Tier]) -> None:
        """Pause exactly these tiers; if that is a change, read the entries from the store anew."""
        if tiers != self._paused:
            self._paused = tiers
            self.forget()

    def forget(self) -> None:
        """Read the entries from the store anew: many of them may not wait any more."""
        self._queue.cut(0)
        self._horizon = _BEFORE_ALL

    def missing(self) -> Page | None:
        """Return which page of the store's queue to read now, if any."""
        if self._horizon is None or len(self) > self._window // 2:
            return None
        return Page(after=self._horizon, limit=self._window)

    def fill(self, page: Page, entries: list[QueueEntry]) -> None:
        """Add the entries of `page`; they were read after the last pushed entry was stored."""
        if page.after != self._horizon:
            return
        for entry in entries:
            self._queue.push(entry)
        self._horizon = entries[-1] if len(entries) == page.limit else None
        if self._queue.qsize() > 2 * self._window:
            self._bound()

    def _bound(self) -> None:
        """Drop the least urgent entries of too many: they are in the store."""
        self._queue.cut(self._window)
        self._horizon = self._queue.last()


class _Heap(asyncio.PriorityQueue[QueueEntry]):
    """A priority queue whose first entry can be read, and whose last entries can be cut off.

    Nobody waits at it, so that entries need not pass its ways of waking who does.
    """

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - a hook of asyncio.Queue
        self._queue: list[QueueEntry] = []

    def push(self, entry: QueueEntry) -> int:
        """Add an entry; return how many there are."""
        heappush(self._queue, entry)
        return len(self._queue)

    def pop(self) -> QueueEntry:
        """Remove and return the most urgent entry; there must be one."""
        return heappop(self._queue)

    def first(self) -> QueueEntry | None:
        """Return the most urgent entry, if there is one."""
        return self._queue[0] if self._queue else None

    def cut(self, keep: int) -> None:
        """Drop all entries but the `keep` most urgent."""
        self._queue.sort()
        del self._queue[keep:]

    def last(self) -> QueueEntry:
        """Return the least urgent entry; valid only right after `cut`."""
        return self._queue[-1]
