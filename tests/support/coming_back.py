"""A server that comes back on the same ports, and orders that are placed whatever becomes of it."""

import asyncio
from pathlib import Path
from signal import Signals

from orderintake import AsyncClient, Unavailable
from support.process import ServerProcess
from support.program import free_port


class Shop:
    """The server process, and the next one."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.address = f"127.0.0.1:{free_port()}"
        self.http_port = free_port()
        self._server: ServerProcess | None = None

    async def start(self, *arguments: str) -> None:
        """Start it; it listens on return."""
        listen = ("--listen", self.address, "--http", f"127.0.0.1:{self.http_port}")
        self._server = ServerProcess(self._data, *listen, *arguments)
        await asyncio.to_thread(self._server.wait_for, "listening")

    @property
    def server(self) -> ServerProcess:
        """The one that was started last."""
        assert self._server
        return self._server

    async def end(self, number: Signals) -> None:
        """Send it a signal to stop; wait for its end."""
        await self.server.stops(number)

    def kill(self) -> None:
        """End it by SIGKILL, if it still runs."""
        self.server.kill()


async def place(
    address: str, count: int, capacity: asyncio.Semaphore | None = None, *, first: int = 0
) -> None:
    """Place orders one after the other, where there is room, each until it is known as stored.

    The first of them has this number.
    """
    async with AsyncClient(address, timeout=60) as client:
        for number in range(first, first + count):
            if capacity is not None:
                await capacity.acquire()
            while True:
                try:
                    await client.place(
                        customer_id="ada", lines={"tea": 1}, request_id=f"request-{number}"
                    )
                    break
                except Unavailable:
                    pass  # its five attempts fell into one restart
