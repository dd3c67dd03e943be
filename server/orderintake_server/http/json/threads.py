"""What takes long, in a thread: one such work at a time, that the event loop goes on beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LOOP_BYTES = 32 * 1024
"""What is not larger takes a few milliseconds at the most, and is done at once."""


class OneThread:
    """Does large works one after the other."""

    def __init__(self) -> None:
        """Begin without work."""
        self._one = asyncio.Lock()

    async def run(self, size: int, function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
        """Return what the function returns for content of so many bytes.

        A work that has begun goes on to its end, also without its caller: the next waits for it.
        """
        if size <= LOOP_BYTES:
            return function(*args)
        await self._one.acquire()
        work = asyncio.get_running_loop().run_in_executor(None, function, *args)
        work.add_done_callback(lambda _: self._one.release())
        return await asyncio.shield(work)
