"""Who processes the orders: the servers themselves, and workers in processes of their own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orderintake_server.holders import WorkerRow
    from orderintake_server.overview import Overview
    from orderintake_server.store.base import AtWork
    from orderintake_server.views import ServerSeen
    from orderintake_server.work.life import Life

    Attempt = tuple[int, int]
    """The accept sequence of an order in process, and when it started."""


class WorkerKind(IntEnum):
    """Where a handler runs; numbered as in the contract."""

    IN_PROCESS = 1
    SUPERVISED = 2
    REMOTE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """A process that processes orders. Times are microseconds since 1970."""

    name: str
    kind: WorkerKind
    worker_id: str = ""
    """Empty for a server."""
    capacity: int
    busy: int
    attempts: Sequence[Attempt] = ()
    """As far as it is known here, in the order of their starts."""
    since: int
    heard: int
    """0: not since the server started that looks."""
    is_stopping: bool = False


class Workforce:
    """All who process orders, as one server knows them."""

    def __init__(
        self,
        *,
        overview: Overview,
        at_work: AtWork,
        life: Life,
        own: Callable[[], Sequence[Attempt]],
        clock: Callable[[], int],
    ) -> None:
        """Look `at_work`, and at the server's `own` attempts; `clock` gives the time."""
        self._overview = overview
        self._at_work = at_work
        self._life = life
        self._own = own
        self._clock = clock

    async def look(self) -> list[WorkerSeen]:
        """Return everybody. Raises StoreError when the store cannot be read."""
        rows = await self._at_work.list_workers()
        servers = (await self._overview.servers()).seen
        ages, now = self._life.ages(), self._clock()
        heard = {worker_id: now - round(age * 1e6) for worker_id, age in ages.items()}
        own = [self._server(seen) for seen in servers if seen.workers]
        return own + [_worker(row, heard.get(row.worker_id, 0)) for row in rows]

    def _server(self, seen: ServerSeen) -> WorkerSeen:
        return WorkerSeen(
            name=seen.name,
            kind=WorkerKind.IN_PROCESS,
            capacity=seen.workers,
            busy=seen.busy,
            attempts=self._own() if seen.is_own else (),
            since=seen.since,
            heard=seen.heard,
        )


def _worker(row: WorkerRow, heard: int) -> WorkerSeen:
    return WorkerSeen(
        name=row.name,
        kind=WorkerKind.SUPERVISED if row.is_local else WorkerKind.REMOTE,
        worker_id=row.worker_id,
        capacity=row.capacity,
        busy=len(row.leases),
        attempts=[(lease.key.accept_sequence, lease.start_time) for lease in row.leases],
        since=row.since,
        heard=max(heard, row.heard),
        is_stopping=row.is_stopping,
    )
