"""KeepLeases: what a worker says of itself and of its leases, and what it has to know of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orderintake_server.store.work import WorkerWord
from orderintake_server.work import news
from orderintake_server.work.waits import Waits
from orderintake_server.work.words import News

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from orderintake_server.holders import WorkerRow
    from orderintake_server.work.ground import Ground
    from orderintake_server.work.words import KeepAsked

ONLY = 0
"""The number of a worker's KeepLeases calls: a newer one replaces the one that waits."""


class Keeping:
    """The calls of KeepLeases, as long as they wait for news."""

    def __init__(self, ground: Ground, lease_seconds: float, clock: Callable[[], float]) -> None:
        """Keep leases for so long; `clock` is steady, in seconds."""
        self._at_work, self._remote = ground.at_work, ground.remote
        self._running, self._meters = ground.running, ground.meters
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._told = news.LastTold(clock)
        self.waits: Waits = Waits()
        self._supervised: set[str] = set()
        self._stops_told: set[str] = set()
        """Those that stop, and have heard from here that they are given no more orders."""

    def expect(self, worker_id: str) -> None:
        """Know a worker as one that this server starts, and watches."""
        self._supervised.add(worker_id)

    async def keep(self, asked: KeepAsked, *, on_stop: Callable[[str], object]) -> News:
        """Do what a call asks; `on_stop` is called when the worker is to get no more orders.

        Raises StorageUnavailable.
        """
        worker_id, until = asked.worker_id, self._clock() + asked.wait
        with self.waits.waiting(worker_id, ONLY) as wait:
            known = await self._read(worker_id)
            is_news = await self._tell(asked, known)
            if asked.is_stopping and worker_id not in self._stops_told:
                is_news = True  # here; what it was told elsewhere, or before, may be lost
                on_stop(worker_id)
            if is_news:
                wait.end()  # it asked for no news, but to be heard
            found = await self._compared(asked, known)
            while (seconds := self._seconds(worker_id, found, until)) > 0 and not wait.is_over:
                await asyncio.wait({wait.woken}, timeout=seconds)
                wait.look()
                found = await self._compared(asked, await self._read(worker_id))
        self._told.told(worker_id, [*found.stops, *found.lost])
        if asked.is_stopping:
            self._stops_told.add(worker_id)
        return found

    async def _read(self, worker_id: str) -> WorkerRow | None:
        """Read what the store knows of a worker, and align with it what is known here."""
        since = self._running.now()
        known = await self._at_work.read_worker(worker_id)
        starts = [lease.key.start_sequence for lease in known.leases] if known else ()
        self._running.align(worker_id, starts, since=since)
        return known

    async def _tell(self, asked: KeepAsked, known: WorkerRow | None) -> bool:
        """Tell the store what a worker says of itself; return whether that is news.

        When one that stops has been told, no call of it is given an order any more.
        """
        if known is not None and (known.is_ended or _is_told(asked, known)):
            return False
        is_local = asked.worker_id in self._supervised or None
        await self._remote.word(
            WorkerWord(asked.worker_id, asked.name, asked.capacity, asked.is_stopping, is_local)
        )
        return True

    async def _compared(self, asked: KeepAsked, known: WorkerRow | None) -> News:
        """Compare what a worker says that it has with what the store knows; return what is news."""
        leases = known.leases if known else ()
        if asked.inventory is not None and known is not None:
            keys = news.undelivered(leases, asked.inventory)
            if keys:
                returned = await asyncio.gather(*(self._remote.report(key, None) for key in keys))
                self._meters.lose("inventory", len(returned) - returned.count(None))
                self._running.leave(keys)
        return News(
            stops=news.to_stop(leases, asked),
            lost=news.lost(leases, asked.inventory),
            keeps=self._lease_seconds,
        )

    def _seconds(self, worker_id: str, found: News, until: float) -> float:
        """Return how long to wait before the answer: not at all where there is news."""
        left = until - self._clock()
        until_told = self._told.seconds_until(worker_id, [*found.stops, *found.lost])
        return left if until_told is None else min(left, until_told)

    def wake(self, worker_ids: Collection[str]) -> None:
        """Let workers hear that something happened to their leases."""
        for worker_id in worker_ids:
            self.waits.wake(worker_id)

    def forget(self, worker_id: str) -> None:
        """Forget a worker that has ended; its call that waits ends."""
        self._told.forget(worker_id)
        self._supervised.discard(worker_id)
        self._stops_told.discard(worker_id)
        self.waits.end(worker_id)


def _is_told(asked: KeepAsked, known: WorkerRow) -> bool:
    """Tell whether the store knows already what a worker says of itself."""
    return (
        asked.name in {None, known.name}
        and asked.capacity in {None, known.capacity}
        and (known.is_stopping or not asked.is_stopping)
    )
