"""One replica among the others: alive for as long as it says so, whatever its event loop does."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from orderintake_server.errors import StoreAway, StoreBroken, StoreFull
from orderintake_server.store.postgres.connector import failures

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.store.postgres.connector import Connection, Connector

BEATS = 3
"""Signs of life in the time of a lease."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """How a replica stands among the others.

    `place` is how many of them are older; `replicas` how many there are, with so many `workers`
    together. `may_reap`: it has been alive without a break for a lease, so that who has not been
    heard of meanwhile is dead, and not just cut off as it was itself. `has_dead`: there is one.
    """

    session_id: int
    place: int = 0
    replicas: int = 1
    workers: int = 0
    may_reap: bool = False
    has_dead: bool = False


_BEGIN = """
INSERT INTO orderintake.sessions (replica, workers, since, expires_at)
VALUES ($1, $2, clock_timestamp(), clock_timestamp() + make_interval(secs => $3))
RETURNING session_id
"""
_BEAT = """
UPDATE orderintake.sessions SET expires_at = clock_timestamp() + make_interval(secs => $2),
  since = CASE WHEN expires_at < clock_timestamp() THEN clock_timestamp() ELSE since END
WHERE session_id = $1
RETURNING clock_timestamp() - since >= make_interval(secs => $2)
"""
_OTHERS = """
SELECT count(*) FILTER (WHERE expires_at >= clock_timestamp() AND session_id < $1),
  count(*) FILTER (WHERE expires_at >= clock_timestamp()),
  coalesce(sum(workers) FILTER (WHERE expires_at >= clock_timestamp()), 0),
  count(*) FILTER (WHERE expires_at < clock_timestamp()) > 0
FROM orderintake.sessions
"""
_END = "UPDATE orderintake.sessions SET expires_at = '-infinity' WHERE session_id = $1"


class Heartbeat:
    """Says again and again that this replica is alive, on a thread and a connection of its own."""

    def __init__(
        self, link: Connector, *, replica: str, workers: int, lease_seconds: float
    ) -> None:
        """Speak for a replica of this name; nothing said for `lease_seconds`, it is dead."""
        self._link = link
        self._replica = replica
        self._workers = workers
        self.lease_seconds = lease_seconds
        self._thread = threading.Thread(target=self._run, name="store-session", daemon=True)
        self._is_speaking = threading.Event()
        self._thread_loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._loop = asyncio.get_running_loop()
        self.on_change: Callable[[], object] = lambda: None
        """Called, in the loop that made it, when `standing` has changed; and for as long as
        somebody dead is not taken care of, or this one lives (again) since less than a lease."""
        self.standing = ReplicaStatus(session_id=0)

    async def begin(self, connection: Connection) -> None:
        """Come to life, in a transaction perhaps; behind that, `speak`."""
        self.standing = await self._looked(connection, await self._born(connection))

    async def speak(self) -> None:
        """From here on say so, again and again."""
        await asyncio.to_thread(self._thread.start)
        await asyncio.to_thread(self._is_speaking.wait)

    async def end(self) -> None:
        """Say that this replica is gone, so that nobody waits for it; the thread ends."""
        if self._thread.is_alive():
            if self._thread_loop and self._over:
                self._thread_loop.call_soon_threadsafe(self._over.set)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        """Beat until it is over; a connection that fails is made anew."""
        self._thread_loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._is_speaking.set()
        while not self._over.is_set():
            try:
                connection = await self._link.connect()
                try:
                    await self._beat_on(connection)
                finally:
                    connection.terminate()
            except (StoreAway, StoreFull, StoreBroken) as away:
                log.warning("no sign of life could be given", error=str(away))
                await self._wait(min(self.lease_seconds / BEATS, 1.0))

    async def _beat_on(self, connection: Connection) -> None:
        assert self._over is not None  # noqa: S101 - set before; mypy cannot know
        while not self._over.is_set():
            with failures():  # one that takes longer comes too late
                async with asyncio.timeout(self.lease_seconds / BEATS):
                    standing = await self._beat(connection)
            if standing != self.standing or standing.has_dead or not standing.may_reap:
                self._loop.call_soon_threadsafe(self._change, standing)
            await self._wait(self.lease_seconds / BEATS)
        await self._link.fetch(connection, _END, self.standing.session_id)

    async def _wait(self, seconds: float) -> None:
        assert self._over is not None  # noqa: S101 - as above
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    def _change(self, standing: ReplicaStatus) -> None:
        if standing.session_id != self.standing.session_id:
            log.error("this replica was taken for dead; others start what it had in process")
        self.standing = standing
        self.on_change()

    async def _beat(self, connection: Connection) -> ReplicaStatus:
        session_id = self.standing.session_id
        rows = await self._link.fetch(connection, _BEAT, session_id, self.lease_seconds)
        if not rows:  # it was taken for dead, and buried
            session_id = await self._born(connection)
        return await self._looked(connection, session_id, may_reap=bool(rows and rows[0][0]))

    async def _born(self, connection: Connection) -> int:
        born = (self._replica, self._workers, self.lease_seconds)
        ((session_id,),) = await self._link.fetch(connection, _BEGIN, *born)
        return int(session_id)

    async def _looked(
        self, connection: Connection, session_id: int, *, may_reap: bool = False
    ) -> ReplicaStatus:
        """Look for the others."""
        ((place, replicas, workers, has_dead),) = await self._link.fetch(
            connection, _OTHERS, session_id
        )
        return ReplicaStatus(
            session_id=session_id,
            place=place,
            replicas=replicas,
            workers=workers,
            may_reap=may_reap,
            has_dead=has_dead,
        )
