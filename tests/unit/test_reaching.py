"""P22: whatever prevents a connection to PostgreSQL is a store that is away, with the reason."""

import asyncio
import socket
import ssl
import struct

import asyncpg
import pytest

from orderintake_server.errors import StartupFailed, StoreAway
from orderintake_server.store.postgres.connector import SETTINGS, Connector

ADDRESS = "postgresql://ada:hunter2@host:5432/shop"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ssl.SSLCertVerificationError(1, "certificate has expired"), "certificate has expired"),
        (ssl.SSLError(1, "wrong version number"), "wrong version number"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ConnectionResetError(), "ConnectionResetError"),
        (TimeoutError(), "TimeoutError"),
        (asyncio.IncompleteReadError(b"", 1), "0 bytes read"),
        (asyncpg.ProtocolViolationError("pooler is shutting down"), "pooler is shutting down"),
        (asyncpg.InvalidCatalogNameError("no such database"), "no such database"),
        (asyncpg.InvalidPasswordError("not let in"), "not let in"),
        (asyncpg.TooManyConnectionsError("too many clients"), "too many clients"),
        (struct.error("unpack requires 4 bytes"), "unpack requires 4 bytes"),
        (RuntimeError("SCRAM"), "SCRAM"),
        (asyncpg.InterfaceError("unexpected authentication method"), "unexpected authentication"),
        (UnicodeError("label too long: hunter2"), "the address of the database is none"),
        (ValueError("hunter2"), "the address of the database is none"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_whatever_it_is_the_store_is_away(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(asyncpg, "connect", fails)
    with pytest.raises(StoreAway) as away:
        await Connector(ADDRESS).connect()
    assert reason in str(away.value)
    assert str(away.value).endswith(", at host")
    assert "hunter2" not in str(away.value)


async def test_what_is_no_address_at_all_ends_a_start() -> None:
    with pytest.raises(StartupFailed, match="the address of the database is none"):
        await Connector("postgresql://ada:hunter2@[::1/shop").connect()


def test_a_connection_brings_its_own_isolation_and_time_zone() -> None:
    assert SETTINGS["default_transaction_isolation"] == "read committed"
    assert SETTINGS["TimeZone"] == "UTC"
