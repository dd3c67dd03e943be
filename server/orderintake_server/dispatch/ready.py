"""The orders ready to run, most urgent first, in bounded memory."""

from __future__ import annotations

import asyncio

from orderintake_server.domain import QueueEntry, Tier
from orderintake_server.store.changes import Page

WINDOW = 4_096
"""Orders read from the store at a time; at most twice as many are held. 1 MiB or so."""

_BEFORE_ALL = QueueEntry(-1, 0, Tier.VIP, 0)


class ReadyQueue:
    """The front of the store's queue, as an asyncio.PriorityQueue.

    Whatever waits in the store up to the horizon is here; whatever waits beyond it is in the
    store only. So the most urgent order here is the most urgent order there is, and memory does
    not grow with the backlog. Orders of paused tiers are in the store only.
    """

    def __init__(self, *, window: int = WINDOW) -> None:
        """Start empty, with everything that the store holds beyond the horizon."""
        self._window = window
        self._queue = _Heap()
        self._horizon: QueueEntry | None = _BEFORE_ALL
        self._paused: frozenset[Tier] = frozenset()

    def __len__(self) -> int:
        """Count the orders held in memory."""
        return self._queue.qsize()

    def first(self) -> QueueEntry | None:
        """Tell the most urgent order, if there is one."""
        return None if self._queue.empty() else self._queue.first()

    def pop(self) -> QueueEntry:
        """Take the most urgent order, which there must be."""
        return self._queue.get_nowait()

    def push(self, order: QueueEntry) -> None:
        """Add an order that the store holds now; beyond the horizon, the store is enough."""
        if order.tier in self._paused:
            return
        if self._horizon is not None and order[:2] > self._horizon[:2]:
            return  # by its place alone: it may come back with another crash count
        self._queue.put_nowait(order)
        self._bound()

    def pause(self, tiers: frozenset[Tier]) -> None:
        """Hold these tiers and no others; what may start is read from the store anew."""
        if tiers != self._paused:
            self._paused = tiers
            self._queue.cut(0)
            self._horizon = _BEFORE_ALL

    def missing(self) -> Page | None:
        """Tell which page of the store's queue is wanted here now, if any."""
        if self._horizon is None or len(self) > self._window // 2:
            return None
        return Page(after=self._horizon, limit=self._window)

    def fill(self, asked: Page, found: list[QueueEntry]) -> None:
        """Add the page that was asked for, read after the last order pushed was stored."""
        if asked.after != self._horizon:
            return
        for order in found:
            self._queue.put_nowait(order)
        self._horizon = found[-1] if len(found) == asked.limit else None
        self._bound()

    def _bound(self) -> None:
        """Leave the far end to the store when too much is here."""
        if len(self) > 2 * self._window:
            self._queue.cut(self._window)
            self._horizon = self._queue.last()


class _Heap(asyncio.PriorityQueue[QueueEntry]):
    """A priority queue that can be looked into, and whose far end can be cut off."""

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - a hook of asyncio.Queue
        self._queue: list[QueueEntry] = []

    def first(self) -> QueueEntry:
        """Give the most urgent, of which there must be one."""
        return self._queue[0]

    def cut(self, keep: int) -> None:
        """Drop all but the `keep` most urgent."""
        self._queue.sort()
        del self._queue[keep:]

    def last(self) -> QueueEntry:
        """Give the least urgent, right after a cut."""
        return self._queue[-1]
