"""The committer's bell: it waits for a ring, or for its time to look again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import Future


class Bell:
    """Wakes the one who waits; a ring before the wait ends that at once.

    It does what an Event under a timeout does, for a third of that.
    """

    def __init__(self) -> None:
        """Begin silent."""
        self._has_rung = False
        self._wait: Future[None] | None = None

    def ring(self) -> None:
        """End the wait, now or when it begins."""
        self._has_rung = True
        self._wake()

    def silence(self) -> None:
        """Forget the rings so far."""
        self._has_rung = False

    async def wait(self, seconds: float) -> None:
        """Wait for a ring, so long at the most."""
        if self._has_rung:
            return
        loop = asyncio.get_running_loop()
        self._wait = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._wait
        finally:
            timer.cancel()
            self._wait = None

    def _wake(self) -> None:
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(None)
