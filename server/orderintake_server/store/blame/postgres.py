"""Whose fault each error of PostgreSQL, and of a connection to it, is."""

from __future__ import annotations

import asyncio
import re
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from orderintake_server.errors import (
    Refusal,
    StartupFailed,
    StoreAway,
    StoreBroken,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreRefused,
)
from orderintake_server.store.blame import blame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orderintake_server.store.blame import Blame

_DATA = (
    *("00", "01", "02", "03", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22"),
    *("23", "24", "27", "2B", "2D", "2F", "34", "38", "39", "3B", "42", "44", "54", "HV", "P0"),
    "XX",
)
_AWAY = (
    *("08", "25", "26", "28", "3D", "40", "53", "55", "57", "58", "72", "F0"),
    *("42501", "42P05"),
)
"""Connection lost; not the primary (any more); a statement that a pooler lost; not let in; no such
database; deadlock; no connection left to have; a lock not had in time; shut down, or cancelled; the
disk does not answer; a right that was taken away."""
_BROKEN = ("3F", "42601", "42703", "42704", "42883", "42P01", "XX001", "XX002")
"""The schema, a table, a column, a type or a function gone, or not ours; damaged data."""

BLAME: dict[str, Blame] = (
    dict.fromkeys(_DATA, StoreRefused)
    | dict.fromkeys(_AWAY, StoreAway)
    | dict.fromkeys(_BROKEN, StoreBroken)
    | {"53100": StoreFull, "53200": StoreBusy}
)
"""By SQLSTATE: every class, and those codes that mean something else."""

_UNREACHABLE = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that fails in the middle of its work
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
    UnicodeDecodeError,  # an answer that cannot be read
)
_UNFIT = (ValueError, TypeError, OverflowError, struct.error)
"""Of a value that no parameter can hold; it was not sent."""


@contextmanager
def failures(*, tells_all: bool = False) -> Iterator[None]:
    """Raise failures inside as the store's own; what remains is a bug.

    `tells_all`: to an operator, what PostgreSQL says of the data too. It may hold a piece of an
    order, and must not get into a log.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _blamed(error, tells_all=tells_all) from None  # the original has pieces of orders
    except _UNREACHABLE as error:
        raise StoreAway(f"PostgreSQL cannot be reached: {why(error)}") from error
    except MemoryError as error:
        raise StoreBusy("out of memory") from error
    except _UNFIT as error:
        raise StoreRefused(f"PostgreSQL has no such value: {type(error).__name__}") from None


_NAMED = (Refusal, StartupFailed, StoreError, MemoryError)
"""What has its name already, or is told by `failures`."""


@contextmanager
def talking() -> Iterator[None]:
    """Raise whatever fails inside as the store's own, where an answer is waited for and read.

    What PostgreSQL does not say itself is the connection's fault: an answer that cannot be read, in
    whichever way, does not tell what became of what was asked.
    """
    with failures():
        try:
            yield
        except (*_NAMED, *_UNREACHABLE):
            raise
        except asyncpg.PostgresError as error:
            if _SQLSTATE.fullmatch(str(error.sqlstate)):
                raise
            raise StoreAway("PostgreSQL's answer cannot be read: an error of no kind") from None
        except Exception as error:
            name = type(error).__name__  # its text may have pieces of orders
            raise StoreAway(f"PostgreSQL's answer cannot be read: {name}") from error


_SQLSTATE = re.compile("[0-9A-Z]{5}")


def _blamed(error: asyncpg.PostgresError, *, tells_all: bool) -> StoreError:
    sqlstate = str(error.sqlstate or "")
    blamed = blame(BLAME, sqlstate, sqlstate[:2])
    if blamed is not StoreRefused:
        return blamed(f"PostgreSQL: {error} ({sqlstate})")
    if tells_all:
        return StoreRefused(f"{type(error).__name__}: {error}")
    names = (error.schema_name, error.table_name, error.column_name, error.constraint_name)
    where = ".".join(name for name in names if name)
    return StoreRefused(f"PostgreSQL: {type(error).__name__} ({sqlstate}) {where}".rstrip())


def why(error: Exception) -> str:
    """Say what went wrong with a connection: the error's text, or else its class; and its cause."""
    told = str(error) or type(error).__name__
    cause = error.__cause__
    return f"{told}: {cause}" if isinstance(cause, asyncpg.InternalClientError) else told
