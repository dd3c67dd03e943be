"""The last calls before the end: kept waiting, so that none of them ends CANCELLED."""

from __future__ import annotations

import asyncio

QUIET_SECONDS = 0.05
"""Without a new call for so long, every caller that waits for its answer is held."""
MOST_SECONDS = 1.0
"""Callers who do not wait for their answers never grow quiet; so long they are waited for.

Of theirs, a call may still end CANCELLED that is on its way when the stop begins.
"""


class ShutdownGate:
    """Where calls wait from the moment the server is about to end until it has begun to.

    gRPC ends a call CANCELLED that reaches a server after its stop began, or is unstarted then
    (grpc#41785). Who is held makes no other call before; and after, its connection takes none.
    """

    def __init__(self) -> None:
        """Hold nobody yet."""
        self.is_on = False
        self._count = 0
        self._released = asyncio.Event()

    async def begin(self) -> None:
        """Hold whatever comes from now on; return when nothing more comes."""
        self.is_on = True
        for _ in range(int(MOST_SECONDS / QUIET_SECONDS)):
            before = self._count
            await asyncio.sleep(QUIET_SECONDS)
            if self._count == before:
                return

    async def wait(self) -> None:
        """Be held until the release."""
        self._count += 1
        await self._released.wait()

    def release(self) -> None:
        """Let all who are held go on, and whoever comes yet."""
        self._released.set()
