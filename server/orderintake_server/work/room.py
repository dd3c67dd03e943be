"""The verbs of workers in processes of their own: lease, keep and end, for every transport."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from orderintake_server.errors import Draining, StorageUnavailable, StoreError
from orderintake_server.logger import get_logger
from orderintake_server.work.keeping import Keeping
from orderintake_server.work.leasing import Leasing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orderintake_server.holders import TakenBack
    from orderintake_server.work.ground import Ground
    from orderintake_server.work.leasing import Decide
    from orderintake_server.work.life import Life
    from orderintake_server.work.words import KeepAsked, LeaseAsked, Leased, News


log = get_logger()


class WorkRoom:
    """What workers ask. Any of it may be asked of any server; none relies on where it was before.

    A caller that leaves loses the answer: what it reported is recorded, and the orders that it
    would have got wait again at once.
    """

    def __init__(
        self,
        ground: Ground,
        *,
        decide: Decide,
        life: Life,
        is_shared: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Stand on `ground`; `clock` is steady, in seconds.

        A store that `is_shared` buries the silent, and answers repeats, by itself.
        """
        self._is_shared = is_shared
        self._remote, self._at_work = ground.remote, ground.at_work
        self._meters = ground.meters
        self.running = ground.running
        self.life = life
        self.leasing = Leasing(ground, decide, tells_repeats=is_shared)
        self.keeping = Keeping(ground, life.lease_seconds, clock)
        self._is_stopping = self._is_over = False
        self.ends_process: Callable[[str], bool] = lambda _: False
        """Ends the process of a worker that is silent, and tells whether there is one: then that
        end is its death."""
        ground.remote.on_news = self.keeping.wake
        ground.remote.on_recorded = ground.running.recorded

    async def lease(self, asked: LeaseAsked) -> Leased:
        """Record what came of attempts, and give orders for the slots, in one durable step.

        With reports it answers at once; without, it waits for an order. A repeat of a call is
        answered the same. Raises WorkerLimit, Draining or StorageUnavailable: then nothing of it
        was done, as far as is known, and a repeat tells.
        """
        worker_id = asked.holder.worker_id
        self.life.hear(worker_id, asked.holder.capacity)
        self._refuse_if(is_late=self._is_stopping and not asked.reports)
        with self._known(worker_id), self.life.waiting(worker_id):
            leased = await self.leasing.lease(asked, is_open=not self._is_stopping)
        leased.is_going_away = self._is_stopping
        return leased

    async def keep(self, asked: KeepAsked) -> News:
        """Keep the leases of a worker; answer when there is news, or when its time is over.

        Raises WorkerLimit, Draining or StorageUnavailable.
        """
        self.life.hear(asked.worker_id, asked.capacity)
        self._refuse_if(is_late=self._is_stopping and not asked.is_stopping)
        if asked.inventory is not None:
            self.leasing.repeats.called(asked.worker_id, asked.inventory.last_call)
        with self._known(asked.worker_id):
            news = await self.keeping.keep(asked, on_stop=self.leasing.waits.end)
        news.is_going_away = self._is_stopping
        return news

    async def end(self, worker_id: str) -> int:
        """End a worker: its orders wait again, uncounted; return how many. It may be repeated.

        Raises Draining or StorageUnavailable.
        """
        self._refuse_if(is_late=False)
        taken = await self._remote.end(worker_id)
        self._forget(worker_id)
        return len(taken)

    @property
    def unawaited(self) -> int:
        """How many orders waited again because their caller had left."""
        return self._remote.unawaited

    def expect(self, worker_id: str) -> None:
        """Know a worker as one that this server starts, and watches."""
        self.keeping.expect(worker_id)

    async def bury(self, worker_id: str) -> list[TakenBack]:
        """Count a crash for each order of a worker that is dead; the orders wait again.

        One that is heard meanwhile lives again: what it is given then is watched.
        """
        heard = self.life.heard(worker_id)
        taken = await self._remote.bury(worker_id)
        self._meters.deaths += 1
        if self.life.heard(worker_id) == heard:
            self._forget(worker_id)
        return taken

    async def bury_silent(self) -> None:
        """Bury whoever is silent for too long, without end. A shared store does that by itself."""
        self.life.open()
        while True:
            silent = await self.life.silent()
            await asyncio.gather(*map(self._bury_silent, silent))  # before any of them is heard

    async def _bury_silent(self, worker_id: str) -> None:
        with suppress(StorageUnavailable, StoreError):  # then it is looked at again
            known = None if self._is_shared else await self._at_work.read_worker(worker_id)
            if not self.life.is_silent(worker_id):
                return
            if self.ends_process(worker_id) or known is None or known.is_ended:
                self._forget(worker_id)
                return
            taken = await self.bury(worker_id)
            name = known.name or worker_id
            log.warning("took over from a worker that died", worker=name, orders=len(taken))

    @contextmanager
    def _known(self, worker_id: str) -> Iterator[None]:
        """Keep nothing of a worker that ended while a call of it was answered inside."""
        try:
            yield
        finally:
            if worker_id not in self.life:
                self._forget(worker_id)

    def _forget(self, worker_id: str) -> None:
        self.life.forget(worker_id)
        self.leasing.forget(worker_id)
        self.keeping.forget(worker_id)
        self.running.forget(worker_id)

    def refuse_leases(self) -> None:
        """Lease nothing more: calls that wait are told to go elsewhere. Reports are still taken."""
        self._is_stopping = True
        self.leasing.waits.end_all()
        self.keeping.waits.end_all()

    def close(self) -> None:
        """Take nothing more: what comes now is refused, and belongs to another server."""
        self.refuse_leases()
        self._is_over = True

    def _refuse_if(self, *, is_late: bool) -> None:
        if self._is_over or is_late:
            raise Draining("the server is stopping; it leases no more orders")
