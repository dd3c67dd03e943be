"""A TCP proxy that can do to a connection whatever a network does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK = 64 * 1024


class Proxy:
    """Forwards to one address; counts what came back."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.sent_back = 0
        """Bytes from the server, over all connections."""
        self.cut_after: int | None = None
        """The next connection is cut when so many bytes came back over it."""
        self.connections = 0
        """How many there were."""
        self._connected = asyncio.Condition()
        self._links: set[_Link] = set()

    def swallow(self) -> None:
        """Stop forwarding, both ways, what goes over the connections there are; keep them open."""
        for link in self._links:
            link.is_hole = True

    async def lose_answers(self, seconds: float) -> None:
        """Let no answer come back over the connections there are for so long, then close them."""
        links = tuple(self._links)
        for link in links:
            link.is_mute = True
        await asyncio.sleep(seconds)
        for link in links:
            link.close()

    def cut(self) -> None:
        """Close the connections there are."""
        for link in tuple(self._links):
            link.close()

    async def connected(self, times: int) -> None:
        """Wait until so many connections were made."""
        async with self._connected:
            await self._connected.wait_for(lambda: self.connections >= times)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection, to its end."""
        link, self.cut_after = _Link(writer, self.cut_after), None
        self.connections += 1
        async with self._connected:
            self._connected.notify_all()
        self._links.add(link)
        try:
            await self._forward(link, reader, writer)
        except OSError:
            pass  # one end is gone: so shall be the other
        finally:
            link.close()
            self._links.discard(link)

    async def _forward(
        self, link: "_Link", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, port = self.target.rsplit(":", 1)
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        link.writers.append(server_writer)
        there = asyncio.create_task(_pump(link, reader, server_writer))
        back = asyncio.create_task(self._pump_back(link, server_reader, writer))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.wait({there, back})

    async def _pump_back(
        self, link: "_Link", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(CHUNK):
            if link.is_hole or link.is_mute:
                continue
            kept = data if link.left is None else data[: link.left]
            self.sent_back += len(kept)
            writer.write(kept)
            await writer.drain()
            if link.left is not None:
                link.left -= len(kept)
                if not link.left:
                    return


class _Link:
    """One connection: what may still come back over it, and whether anything is forwarded."""

    def __init__(self, writer: asyncio.StreamWriter, left: int | None) -> None:
        self.writers = [writer]
        self.left = left
        self.is_hole = False
        self.is_mute = False

    def close(self) -> None:
        for writer in self.writers:
            writer.close()


async def _pump(link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        if not link.is_hole:
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """Run a proxy to an address, which may change meanwhile."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await server.wait_closed()
