"""The one connection by which a replica commits, and what may be believed of an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orderintake_server.errors import StoreAway
from orderintake_server.store.blame.postgres import talking
from orderintake_server.store.postgres.answer import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from orderintake_server.store.postgres.connector import Connection, Connector
    from orderintake_server.store.postgres.functions import Release


class Writer:
    """Makes the one call that a commit is; one at a time."""

    def __init__(self, connector: Connector, release: Release) -> None:
        """Commit by connections of `connector` and functions of `release`; none is made yet."""
        self._connector = connector
        self._call = release.call
        self._connection: Connection | None = None
        self._is_doubtful = False

    async def call(self, values: Sequence[object]) -> Answer:
        """Commit, and give the answer; a connection that failed is made anew.

        Raises StoreAway when what became of it is not known, or not as safe as an answer says.
        """
        connection = await self._connected()
        self._is_doubtful = False
        try:
            rows = await self._connector.fetch(connection, self._call, *values)
            with talking():
                answer = Answer(rows)
                self._refuse_doubtful(answer)
        except (StoreAway, asyncio.CancelledError):
            connection.terminate()  # whatever it still does, its answer is not for us
            raise
        return answer

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connector.connect_durably()
            self._connection.add_log_listener(self._warned)
        return self._connection

    def _refuse_doubtful(self, answer: Answer) -> None:
        if self._is_doubtful:
            raise StoreAway("PostgreSQL: a commit's wait for its standby was cancelled")
        if answer.is_superseded:
            raise StoreAway("PostgreSQL: a commit came too late; a later one was there before")

    def _warned(self, _: object, warning: asyncpg.PostgresLogMessage) -> None:
        """Take note of a warning, which comes before the answer."""
        if warning.server_source_function == "SyncRepWaitForLSN":
            self._is_doubtful = True

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.terminate()
