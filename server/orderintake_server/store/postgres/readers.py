"""The connections by which a replica reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg

from orderintake_server.store.postgres.connector import failures

if TYPE_CHECKING:
    from orderintake_server.store.postgres.connector import Connection, Connector, Row

READERS = 4
"""Connections that read."""


class Readers:
    """A pool of connections that change nothing."""

    def __init__(self, connector: Connector) -> None:
        """Read by connections of `connector`; none is made yet."""
        self._connector = connector
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Let there be connections when they are needed."""

        async def connect(*_: object, **_by_name: object) -> Connection:
            return await self._connector.connect_durably()

        async def leave(_: object) -> None:
            """Leave a connection as it is: a round trip less for each read."""

        self._pool = await asyncpg.create_pool(
            min_size=0, max_size=READERS, connect=connect, reset=leave
        )

    async def fetch(self, query: str, *values: object) -> list[Row]:
        """Read by a connection that is free, for which nobody waits for ever.

        Raises StoreFull, StoreAway or StoreBroken.
        """
        assert self._pool is not None  # noqa: S101 - open; mypy cannot know
        with failures():
            async with asyncio.timeout(self._connector.call_seconds):
                connection = await self._pool.acquire()
            try:
                return await self._connector.fetch(connection, query, *values)
            finally:
                await self._pool.release(connection)

    def close(self) -> None:
        """Let the connections go."""
        if self._pool is not None:
            self._pool.terminate()
