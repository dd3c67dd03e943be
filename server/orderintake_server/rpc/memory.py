"""Gives memory back to the system that a burst of calls needed and nobody needs any more."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LOOK_SECONDS = 10.0
LEAST_SECONDS = 60.0
"""Between two trims: one of 500 MiB holds the allocator for a third of a second."""
TRIMS = 2
"""The first may come in the midst of the burst; the second takes what is free after it."""
GROWN_BYTES = 20 * 1024 * 1024
"""By so much the process has grown since it was last trimmed when it is trimmed again."""
_STATUS = Path("/proc/self/statm")
_PAGE_BYTES = 4096


def _trim_function() -> Callable[[int], int] | None:
    """Find glibc's malloc_trim; other systems' allocators have none."""
    if sys.platform != "linux":
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found


@asynccontextmanager
async def trimming() -> AsyncIterator[None]:
    """Trim the process's memory from time to time while inside.

    The allocator keeps what was freed: after a flood of calls that is as much as they held at
    the same time, and stays so.
    """
    trim = _trim_function()
    if trim is None:
        yield
        return
    task = asyncio.create_task(_trim_on(trim), name="memory")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _trim_on(trim: Callable[[int], int]) -> None:
    before = await asyncio.to_thread(_resident_bytes)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if await asyncio.to_thread(_resident_bytes) < before + GROWN_BYTES:
            continue
        for _ in range(TRIMS):
            await asyncio.to_thread(trim, 0)
            await asyncio.sleep(LEAST_SECONDS)
        before = await asyncio.to_thread(_resident_bytes)


def _resident_bytes() -> int:
    return int(_STATUS.read_text().split()[1]) * _PAGE_BYTES
