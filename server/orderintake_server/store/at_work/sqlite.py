"""The workers of a SQLite store, as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from orderintake_server.domain import State, Tier
from orderintake_server.holders import HeldLease, Holder, LeaseKey, LentLease, WorkerRow
from orderintake_server.store.rows import ACCEPTED, order_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Protocol

    _T = TypeVar("_T")

    class Read(Protocol):
        """Runs a read in a thread that reads."""

        def __call__(self, read: Callable[[sqlite3.Connection], _T]) -> Awaitable[_T]:
            """Return what it read."""


class SqliteAtWork:
    """Keeps `AtWork`."""

    def __init__(self, read: Read) -> None:
        """Read by `read`."""
        self._read = read

    async def read_worker(self, worker_id: str) -> WorkerRow | None:
        """Keep `AtWork.read_worker`."""
        found = await self._read(lambda connection: rows(connection, "w.worker_id = ?", worker_id))
        return found[0] if found else None

    async def list_workers(self) -> list[WorkerRow]:
        """Keep `AtWork.list_workers`."""
        return await self._read(lambda connection: rows(connection, "w.ended_at = 0"))

    async def leases_of(self, holder: Holder) -> list[LentLease]:
        """Keep `AtWork.leases_of`."""
        return await self._read(lambda connection: leases_of(connection, holder))

    def follow(self, ages: Callable[[], Mapping[str, float]]) -> None:
        """Keep `AtWork.follow`: nobody else hears of them, so nothing is to be told."""


def rows(connection: sqlite3.Connection, which: str, *values: object) -> list[WorkerRow]:
    """Read the workers for which the condition `which` holds, with their leases."""
    found: dict[int, tuple[Sequence[Any], list[HeldLease]]] = {}
    for row in connection.execute(_WORKERS.format(which=which), values):
        number, worker, lease = row[0], row[1:_LEASE], row[_LEASE:]
        leases = found.setdefault(number, (worker, []))[1]
        if lease[0] is not None:
            leases.append(_held(*lease))
    return [_row(*worker, leases=leases) for worker, leases in found.values()]


def _row(  # noqa: PLR0913, PLR0917 - the columns
    worker_id: str,
    name: str,
    capacity: int,
    since: int,
    is_local: int,
    is_stopping: int,
    ended_at: int,
    *,
    leases: Sequence[HeldLease],
) -> WorkerRow:
    return WorkerRow(
        worker_id=worker_id,
        name=name,
        capacity=capacity,
        since=since,
        is_local=bool(is_local),
        is_stopping=bool(is_stopping),
        is_ended=ended_at > 0,
        leases=leases,
    )


def _held(*columns: int) -> HeldLease:
    number, start, tier, attempts, crashes, call, start_time, is_cancel_requested = columns
    key = LeaseKey(number, start, Tier(tier), attempts, crashes)
    return HeldLease(key, call, start_time, bool(is_cancel_requested))


def leases_of(connection: sqlite3.Connection, holder: Holder) -> list[LentLease]:
    """Read what a call was given and still has."""
    found = connection.execute(_LEASES, (holder.worker_id, holder.call)) if holder.call else ()
    return [
        LentLease(
            order=order_of(accepted, State.PROCESSING, (attempts, start_sequence, start_time)),
            crash_count=crashes,
            holder=holder,
        )
        for *accepted, attempts, start_sequence, start_time, crashes in found
    ]


_WORKERS = """
SELECT w.number, w.worker_id, w.name, w.capacity, w.since, w.is_local, w.is_stopping, w.ended_at,
  l.accept_sequence, l.start_sequence, o.tier, l.attempt_count, l.crash_count, l.call, l.start_time,
  l.cancel_requested
FROM workers w LEFT JOIN leases l ON l.worker = w.number AND l.worker > 0
LEFT JOIN orders o ON o.accept_sequence = l.accept_sequence
WHERE {which} ORDER BY w.number, l.start_sequence
"""
_LEASE = 8
"""The first column of the lease."""
_LEASES = f"""
SELECT {ACCEPTED}, l.attempt_count, l.start_sequence, l.start_time, l.crash_count
FROM workers w CROSS JOIN leases l ON l.worker = w.number AND l.worker > 0
JOIN orders o ON o.accept_sequence = l.accept_sequence
WHERE w.worker_id = ? AND l.call = ? ORDER BY l.start_sequence
"""
