"""The shutdown gate: new calls wait here until those before them have ended, and are refused."""

from __future__ import annotations

import asyncio

LOOK_SECONDS = 0.05
END_SECONDS = 2.0
"""How long calls that passed may go on; by then, all of them have their answers."""
ANSWER_SECONDS = 0.25
"""How long calls that were held may take to be answered; it does not take so long."""


class ShutdownGate:
    """Holds new calls while those that passed before come to their end.

    gRPC ends a call as CANCELLED that reaches the server after gRPC's own stop began, or has not
    started by then (grpc#41785). So all calls must be over before it: who stops closes the gate,
    opens it, ends the connections, and only then stops gRPC.
    """

    def __init__(
        self, *, look_seconds: float = LOOK_SECONDS, end_seconds: float = END_SECONDS
    ) -> None:
        """Begin open: every call passes."""
        self.is_closed = False
        self.calls = 0
        """Those in work, and those that are held; whoever serves them counts them."""
        self._look_seconds = look_seconds
        self._end_seconds = end_seconds
        self._held = 0
        self._opened = asyncio.Event()

    async def close(self) -> None:
        """Hold every call from now on; return when those that passed have ended, or it is late."""
        self.is_closed = True
        for _ in range(max(int(self._end_seconds / self._look_seconds), 1)):
            await asyncio.sleep(self._look_seconds)
            if self.calls <= self._held:
                return

    async def wait(self) -> None:
        """Hold the calling call until the gate opens again."""
        self._held += 1
        try:
            await self._opened.wait()
        finally:
            self._held -= 1

    async def open(self) -> None:
        """Let the held calls pass, and all later ones; return when they are answered, or soon."""
        self._opened.set()
        for _ in range(max(int(ANSWER_SECONDS / self._look_seconds), 1)):
            await asyncio.sleep(self._look_seconds)
            if not self.calls:
                return
