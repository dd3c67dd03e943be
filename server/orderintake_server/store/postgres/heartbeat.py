"""The heartbeat of a replica, which goes on whatever the replica's event loop does."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server import telemetry
from orderintake_server.errors import StoreError
from orderintake_server.logger import get_logger
from orderintake_server.store.blame.postgres import talking
from orderintake_server.store.postgres.others.signs import Signs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from orderintake_server.store.postgres.connector import Connection, Connector

BEATS = 3
"""Heartbeats in the time of a lease."""

log = get_logger()


class Outage(telemetry.Outage):
    """An outage of the database, as one of those who use it meets it."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell of failures of `what`; measure with `clock`, in seconds that never go back."""
        super().__init__(
            "the database is away",
            "the database is there again",
            level=logging.WARNING,
            clock=clock,
            failed=what,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """A replica and the others: how many are older, how many there are, with how many workers.

    `has_expired`: one of them was silent for longer than its lease. `may_recover`: this one has
    been alive for a lease without a break, so that it may recover what expired ones had in process;
    a replica that was cut off itself would take the others for expired. `has_silent` and `may_bury`
    are the same of workers, and of the time after which these are dead.
    """

    session_id: int
    older_replicas: int = 0
    replicas: int = 1
    workers: int = 0
    may_recover: bool = False
    has_expired: bool = False
    may_bury: bool = False
    has_silent: bool = False


_REGISTER = """
INSERT INTO orderintake.sessions (replica, workers, is_stopping, since, expires_at)
VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp() + make_interval(secs => $4))
RETURNING session_id
"""
_BEAT = """
UPDATE orderintake.sessions SET expires_at = clock_timestamp() + make_interval(secs => $2),
  since = CASE WHEN expires_at < clock_timestamp() THEN clock_timestamp() ELSE since END,
  is_stopping = $3, beat_at = clock_timestamp()
WHERE session_id = $1
RETURNING extract(epoch FROM clock_timestamp() - since)::double precision
"""
_OTHERS = """
SELECT count(*) FILTER (WHERE expires_at >= clock_timestamp() AND session_id < $1),
  count(*) FILTER (WHERE expires_at >= clock_timestamp()),
  coalesce(sum(workers) FILTER (WHERE expires_at >= clock_timestamp()), 0),
  count(*) FILTER (WHERE expires_at < clock_timestamp()) > 0,
  EXISTS (
    SELECT FROM orderintake.workers k WHERE ended_at = 0 AND (expires_at < clock_timestamp()
      OR (supervisor > 0 AND NOT EXISTS (
        SELECT FROM orderintake.sessions s WHERE s.session_id = k.supervisor))))
FROM orderintake.sessions
"""
_END = "UPDATE orderintake.sessions SET expires_at = '-infinity' WHERE session_id = $1"


class Heartbeat:
    """Keeps this replica registered as alive, on a thread and a connection of its own."""

    def __init__(
        self,
        connector: Connector,
        *,
        replica: str,
        workers: int,
        lease_seconds: float,
        worker_lease: float,
    ) -> None:
        """Be the heartbeat of this replica, which expires `lease_seconds` after the last one.

        A worker is dead after `worker_lease` seconds in which no replica heard it.
        """
        self.connector = connector
        self._replica = replica
        self._workers = workers
        self.lease_seconds = lease_seconds
        self.signs = Signs(worker_lease)
        self._thread = threading.Thread(target=self._run, name="store-session", daemon=True)
        self._is_running = threading.Event()
        self._thread_loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._is_over = self._is_stopping = False
        self._stop_noted: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.on_change: Callable[[], object] = lambda: None
        """Called, in the loop that made it, when `status` has changed; and at each heartbeat for as
        long as an expired replica is not recovered, or this one may not recover others yet."""
        self.status = ReplicaStatus(session_id=0)

    def session(self) -> int:
        """Tell the number of this replica's session; it has another one after it expired."""
        return self.status.session_id

    async def register(self, connection: Connection) -> None:
        """Register this replica, perhaps in a transaction; after that, `start`."""
        self.status = await self._look_around(connection, await self._register(connection))

    async def start(self) -> None:
        """Send heartbeats from now on."""
        await asyncio.to_thread(self._thread.start)
        await asyncio.to_thread(self._is_running.wait)

    async def note_stop(self) -> None:
        """Let a heartbeat say at once that an operator stops this replica; later ones say it too.

        Raises StoreError when that heartbeat fails.
        """
        self._is_stopping, self._stop_noted = True, self._loop.create_future()
        self._beat_at_once()
        await self._stop_noted

    async def end(self) -> None:
        """Expire at once, so that the others need not wait for it; the thread ends."""
        if self._thread.is_alive():
            self._is_over = True
            self._beat_at_once()
            await asyncio.to_thread(self._thread.join)

    def _beat_at_once(self) -> None:
        if self._thread_loop and self._wake:
            self._thread_loop.call_soon_threadsafe(self._wake.set)

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        """Send heartbeats until it is over; a connection that fails is made anew."""
        self._thread_loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        self._is_running.set()
        outage = Outage("heartbeat")
        while not self._is_over:
            try:
                async with self._connected() as connection:
                    await self._beat_on(connection, outage)
            except StoreError as away:
                outage.goes_on(away)
                self._tell_of_stop(away)
                await self._wait(min(self.lease_seconds / BEATS, 1.0))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        connection = await self.connector.connect()
        try:
            yield connection
        finally:
            connection.terminate()

    async def _beat_on(self, connection: Connection, outage: Outage) -> None:
        while not self._is_over:
            is_stopping = self._is_stopping
            with talking():  # one that takes longer comes too late
                async with asyncio.timeout(self.lease_seconds / BEATS):
                    status = await self._beat(connection, is_stopping=is_stopping)
            outage.is_over()
            if is_stopping:
                self._tell_of_stop(None)
            has_chores = status.has_expired or status.has_silent
            if status != self.status or has_chores or not status.may_recover:
                self._loop.call_soon_threadsafe(self._change, status)
            await self._wait(self.lease_seconds / BEATS)
        await self.connector.fetch(connection, _END, self.status.session_id)

    async def _wait(self, seconds: float) -> None:
        assert self._wake is not None  # noqa: S101 - set before; mypy cannot know
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    def _tell_of_stop(self, failure: StoreError | None) -> None:
        """Tell who waits for it whether a heartbeat said that this replica is stopped."""
        if self._is_stopping:
            self._loop.call_soon_threadsafe(self._stop_was_noted, failure)

    def _stop_was_noted(self, failure: StoreError | None) -> None:
        if self._stop_noted is None or self._stop_noted.done():
            return
        if failure is None:
            self._stop_noted.set_result(None)
        else:
            self._stop_noted.set_exception(failure)

    def _change(self, status: ReplicaStatus) -> None:
        if status.session_id != self.status.session_id:
            log.error("replica expired: its orders were recovered by others")
        self.status = status
        self.on_change()

    async def _beat(self, connection: Connection, *, is_stopping: bool) -> ReplicaStatus:
        await self.signs.write(self.connector, connection, self.lease_seconds / BEATS / 2)
        session_id, values = self.status.session_id, (self.lease_seconds, is_stopping)
        rows = await self.connector.fetch(connection, _BEAT, session_id, *values)
        if not rows:  # it had expired, and was recovered
            session_id = await self._register(connection)
        return await self._look_around(connection, session_id, seconds=rows[0][0] if rows else 0)

    async def _register(self, connection: Connection) -> int:
        values = (self._replica, self._workers, self._is_stopping, self.lease_seconds)
        ((session_id,),) = await self.connector.fetch(connection, _REGISTER, *values)
        return int(session_id)

    async def _look_around(
        self, connection: Connection, session_id: int, *, seconds: float = 0.0
    ) -> ReplicaStatus:
        """Look how many others there are; this one has been alive for so long without a break."""
        rows = await self.connector.fetch(connection, _OTHERS, session_id)
        ((older_replicas, replicas, workers, has_expired, has_silent),) = rows
        return ReplicaStatus(
            session_id=session_id,
            older_replicas=older_replicas,
            replicas=replicas,
            workers=workers,
            may_recover=seconds >= self.lease_seconds,
            has_expired=has_expired,
            may_bury=seconds >= self.signs.worker_lease and self.signs.may_bury(),
            has_silent=has_silent,
        )
