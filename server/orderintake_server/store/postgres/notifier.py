"""What other replicas change: looked for again and again, and at once where one says so."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from orderintake_server.errors import StoreAway, StoreFull
from orderintake_server.store.postgres.connector import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orderintake_server.store.postgres.connector import Connection, Connector
    from orderintake_server.store.postgres.heartbeat import Heartbeat

CHANNEL = "orderintake"
LEAST_SECONDS = 0.005
"""Between two looks, and between two hints: many commits are told by one."""
MOST_SECONDS = 0.1
"""Between two looks while nothing changes."""
ALONE_SECONDS = 0.25
"""The same where there is no other replica, as far as is known."""
AWAY_SECONDS = 0.5
"""Before the next attempt to connect."""

_NEWEST = "SELECT * FROM orderintake.commits ORDER BY number DESC LIMIT 1"
_HINT = f"BEGIN; SET LOCAL synchronous_commit = off; NOTIFY {CHANNEL}; COMMIT"
"""In a transaction of its own: within the commit's it would serialise the commits of everybody."""

log = structlog.get_logger()


class Notifier:
    """Looks at the newest commit; hints make it look sooner, and are never needed."""

    def __init__(self, link: Connector, session: Heartbeat, *, hints: bool) -> None:
        """Watch the database behind `link`; `hints`: listen for them, and give them."""
        self._link = link
        self._session = session
        self._hints = hints and not link.is_pooled
        self._connection: Connection | None = None
        self._wake = asyncio.Event()
        self._has_told = True
        self._has_chores = self._has_changed = False
        self._pause = MOST_SECONDS
        session.on_change = self._session_changed

    @staticmethod
    def now() -> int:
        """Tell the time of this machine in microseconds since 1970."""
        return time.time_ns() // 1_000

    def tell_others(self) -> None:
        """Let the other replicas know, soon, that something has changed."""
        if self._session.standing.replicas > 1:
            self._has_told = not self._hints
            self._wake.set()

    def has_chores(self) -> bool:
        """Tell, once, that something died and has to be taken care of."""
        has_chores, self._has_chores = self._has_chores, False
        return has_chores

    def _session_changed(self) -> None:
        standing = self._session.standing
        self._has_chores = standing.has_dead and standing.may_reap
        self._has_changed = True
        self._wake.set()

    async def newest(self, after: Callable[[], int]) -> Mapping[str, Any]:
        """Wait for a commit behind the number told, or for the session; return the newest row.

        Who was taken for dead was given nothing to start: it has to know when it lives again.
        """
        while True:
            try:
                connection = await self._connected()
                await self._tell(connection)
                (newest,) = await self._link.fetch(connection, _NEWEST)
                said = dict(newest)
            except (StoreAway, StoreFull) as away:
                log.warning("what others do cannot be seen", error=str(away))
                self._drop()
                await asyncio.sleep(AWAY_SECONDS)
                continue
            if said["number"] > after() or self._has_changed:
                self._has_changed = False
                self._pause = LEAST_SECONDS
                return said
            await self._wait()

    async def _wait(self) -> None:
        """Wait for a hint, but not for ever, and longer the longer nothing happens."""
        is_alone = self._session.standing.replicas == 1
        self._pause = min(self._pause * 1.5, ALONE_SECONDS if is_alone else MOST_SECONDS)
        await asyncio.sleep(LEAST_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._wake.wait()
        self._wake.clear()

    async def _tell(self, connection: Connection) -> None:
        if not self._has_told:
            self._has_told = True
            with failures():
                await connection.execute(_HINT)

    async def _connected(self) -> Connection:
        """Give the connection, made anew if need be; what it shows is as durable as can be."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._link.connect_durably()
            if self._hints:
                with failures():
                    await self._connection.add_listener(CHANNEL, self._hinted)
        return self._connection

    def _hinted(self, *_: object) -> None:
        self._wake.set()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def close(self) -> None:
        """Let the connection go."""
        self._drop()
