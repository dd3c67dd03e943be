"""The time that a caller gives a call."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orderintake_server.http.codes import DEADLINE_EXCEEDED, NotServed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@asynccontextmanager
async def deadline(seconds: float | None) -> AsyncIterator[None]:
    """End what is inside after so many seconds, None: never. Raises NotServed then.

    As by gRPC, an order that was asked for may be stored all the same.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise NotServed(DEADLINE_EXCEEDED, "the call's time is over") from None
        raise


def seconds_left(seconds: float | None) -> Callable[[], float | None]:
    """Return what tells how much is left of so many seconds that begin now; None: no end."""
    if seconds is None:
        return lambda: None
    clock = asyncio.get_running_loop().time
    ends = clock() + seconds
    return lambda: ends - clock()
