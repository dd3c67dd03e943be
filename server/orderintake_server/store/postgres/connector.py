"""Connections to PostgreSQL, and how they are made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from orderintake.work import forks
from orderintake_server.errors import StartupFailed, StoreAway
from orderintake_server.store.blame.postgres import failures, talking, why
from orderintake_server.store.postgres.wire.frames import check_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record]
    Lent = Connection | PoolConnectionProxy[asyncpg.Record]

Row = Sequence[Any]

READERS = 4
"""Connections that read."""
STATEMENTS = 100
"""Prepared statements kept by a connection."""
SETTINGS = {
    "application_name": "orderintake",
    "tcp_user_timeout": "10000",
    "default_transaction_isolation": "read committed",
    "DateStyle": "ISO",
    "TimeZone": "UTC",
}
"""What a connection relies on, whatever the database, the role or the environment sets.
A commit's lock is held until its answer is in the network's buffers. When the other end, frozen
or cut off, takes nothing, the connection is given up after so many milliseconds."""
ISOLATION: Literal["read_committed"] = "read_committed"
"""Of each transaction, where a pooler takes no settings of a connection."""
COMMIT_LOCK = 8026370375060648052
"""The advisory lock that a commit takes first: one commit at a time, of all servers."""
BARRIER = "SELECT pg_logical_emit_message(true, 'orderintake', '')"
"""Its commit is as durable as any other, and so is then all that can be seen: after a crash that is
not always on the standby yet."""


@dataclass(frozen=True, slots=True)
class Connector:
    """Makes connections to a database, at an address that names one server or several.

    `is_pooled`: there is a pooler in transaction mode in between, which gives each transaction
    another connection. Nothing is prepared then, and each query is a transaction of its own.
    """

    address: str = field(repr=False)
    is_pooled: bool = False
    connect_seconds: float = 5.0
    """For one attempt to connect, to each of the hosts that the address names."""
    call_seconds: float = 15.0
    """For one call; what becomes of one that takes longer is not known."""
    _newest: list[str] = field(default_factory=list, repr=False, compare=False)
    """The address of the server that was reached the last time: it is tried first."""

    async def connect(self) -> Connection:
        """Connect to the first of the servers in the address that takes writes.

        Raises StoreAway when there is none, whatever the reason: a later attempt may find one.
        Raises StartupFailed when the address is no address.
        """
        whys = []
        for address in dict.fromkeys([*self._newest, *_each(self.address)]):
            try:
                connection = await self._connect(address)
            except StoreAway as away:
                whys.append(f"{away}, at {_host(address)}")
            else:
                self._newest[:] = [address]
                return connection
        raise StoreAway("; ".join(whys))

    async def connect_durably(self) -> Connection:
        """Connect as `connect` does; what the connection shows is as durable as can be."""
        connection = await self.connect()
        try:
            await self.fetch(connection, BARRIER)
        except (Exception, asyncio.CancelledError):
            connection.terminate()
            raise
        return connection

    async def _connect(self, address: str) -> Connection:
        check_frames()
        with reaching():
            connection = await asyncpg.connect(
                address,
                timeout=self.connect_seconds,
                command_timeout=self.call_seconds,
                target_session_attrs=SessionAttribute.read_write,
                statement_cache_size=0 if self.is_pooled else STATEMENTS,
                server_settings={} if self.is_pooled else SETTINGS,
            )
        transport: asyncio.Transport = getattr(connection, "_transport")  # noqa: B009 - private
        forks.note_peer(transport.get_extra_info("peername"))
        return connection

    async def fetch(self, connection: Lent, query: str, *values: object) -> list[Row]:
        """Give the rows of a query, which is a transaction of its own.

        Raises StoreFull, StoreAway or StoreBroken.
        """
        with talking():
            if not self.is_pooled:
                return await connection.fetch(query, *values)  # type: ignore[return-value]
            async with connection.transaction(isolation=ISOLATION):
                return await connection.fetch(query, *values)  # type: ignore[return-value]


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


def _each(address: str) -> list[str]:
    """Give each server that an address names an address of its own, and so time of its own."""
    try:
        parts = urlsplit(address)
    except ValueError:
        raise StartupFailed(_NO_ADDRESS) from None
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return [address]
    return [parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(",")]


def _host(address: str) -> str:
    """Name the host in an address of one server, and nothing else of it."""
    parts = urlsplit(address)
    try:
        _ = parts.port
    except ValueError:  # it may be a piece of a password
        return "the database"
    return re.sub(r":\d*$", "", parts.netloc.rpartition("@")[2]) or "the database"


@contextmanager
def reaching() -> Iterator[None]:
    """Raise whatever prevents a connection as StoreAway, with the reason.

    It may be a name, a certificate, a password file, a protocol, a time: all of these can pass.
    """
    try:
        yield
    except Exception as error:
        raise StoreAway(f"PostgreSQL cannot be reached: {_why_not(error)}") from error


_NO_ADDRESS = (
    "the address of the database is none: is the port a number, and is every :, /, ?, #, @ and % "
    "in the user's name and password written as %3A, %2F, %3F, %23, %40 and %25?"
)


def _why_not(error: Exception) -> str:
    """Say why there is no connection, without a piece of the address: it may be of a password."""
    is_told = isinstance(error, asyncpg.exceptions.ClientConfigurationError | OSError)
    if isinstance(error, ValueError) and not is_told:
        return _NO_ADDRESS
    return why(error)


async def connect(address: str) -> Connection:
    """Connect without a pooler in between. Raises StoreAway when there is no server."""
    return await Connector(address).connect()
