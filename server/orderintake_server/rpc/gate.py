"""The shutdown gate: the last calls before a stop wait here, so that none ends CANCELLED."""

from __future__ import annotations

import asyncio

QUIET_SECONDS = 0.05
"""Without a new call for so long, every caller that waits for its answer is at the gate."""
MOST_SECONDS = 3.0
"""Callers who do not wait for their answers never grow quiet; so long they are waited for.

A connection has 128 calls at the gate at the most: one that makes more than 43 a second is full
by then, and quiet too. Of the others a call may still end CANCELLED: one that is on its way in
the millisecond between the begin of gRPC's stop and the moment at which its client hears of it.
"""


class ShutdownGate:
    """Holds calls from shortly before the server stops until its stop has begun.

    gRPC ends a call as CANCELLED when it reaches the server after the stop began, or has not
    started by then (grpc#41785). A caller that waits at the gate makes no other call before the
    gate opens; once it is open, the caller's connection accepts no new calls.
    """

    def __init__(
        self, *, quiet_seconds: float = QUIET_SECONDS, most_seconds: float = MOST_SECONDS
    ) -> None:
        """Begin open: every call passes."""
        self.is_closed = False
        self._quiet_seconds = quiet_seconds
        self._most_seconds = most_seconds
        self._count = 0
        self._opened = asyncio.Event()

    async def close(self) -> None:
        """Hold every call from now on; return when no more calls come."""
        self.is_closed = True
        for _ in range(int(self._most_seconds / self._quiet_seconds)):
            before = self._count
            await asyncio.sleep(self._quiet_seconds)
            if self._count == before:
                return

    async def wait(self) -> None:
        """Hold the calling call until the gate opens again."""
        self._count += 1
        await self._opened.wait()

    def open(self) -> None:
        """Let the held calls pass, and all later ones."""
        self._opened.set()
