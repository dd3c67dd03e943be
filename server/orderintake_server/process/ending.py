"""How what runs together ends: with the one error that ended it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def plain_errors() -> AsyncIterator[None]:
    """Raise the error of a TaskGroup as itself, not in a group, if it is the only one."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
