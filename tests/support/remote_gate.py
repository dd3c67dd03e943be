"""A handler under a test's control, in a server process of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from support.handlers import GATE

FOR_ALL = 1_000_000_000
"""More orders than any test places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An attempt that has begun."""

    order_id: str
    sku: str
    attempt: int


class RemoteGate:
    """Holds every order until it is let through; tells which started, in order."""

    arguments = ("--handler", "support.handlers:ask_gate")
    """What makes a server process ask this gate, together with `env`."""

    def __init__(self) -> None:
        self.started: list[Start] = []
        self.env: dict[str, str] = {}
        self._let_through = 0
        self._changed = asyncio.Condition()

    def is_at(self, port: int) -> None:
        """Know where the gate can be asked."""
        self.env = {GATE: str(port)}

    async def let_through(self, count: int) -> None:
        """Let the next `count` orders through, in the order of their start."""
        async with self._changed:
            self._let_through += count
            self._changed.notify_all()

    async def starts(self, count: int) -> list[Start]:
        """Wait until `count` attempts have begun, over all servers."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.started) >= count)
        return self.started

    async def asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one attempt, in its turn."""
        told = json.loads(await reader.readline())
        async with self._changed:
            self.started.append(Start(**told))
            turn = len(self.started)
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._let_through >= turn)
        writer.write(b"go\n")
        writer.close()


@asynccontextmanager
async def remote_gate() -> AsyncIterator[RemoteGate]:
    """Give a gate that server processes can ask while inside; at the end all may pass."""
    gate = RemoteGate()
    server = await asyncio.start_server(gate.asked, "127.0.0.1", 0)
    gate.is_at(server.sockets[0].getsockname()[1])
    try:
        yield gate
    finally:
        server.close()
        await gate.let_through(FOR_ALL)
