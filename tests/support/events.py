"""Server-sent events: read as a browser's EventSource reads them, by a program that tells all."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

STREAM = "/orderintake.v1.OrderIntakeService/StreamCompletions"


class Event(NamedTuple):
    """One event; `message` is the name of those that have none."""

    name: str
    data: str
    last_id: str
    """By which to come back behind it."""

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever it says
        """Its data."""
        return json.loads(self.data)


class Parser:
    """Turns text into events, by the rules of the HTML standard."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry: int | None = None
        self.comments: list[str] = []
        self.is_within = False
        """Whether a line was read of what an empty one will end."""
        self._id = last_id
        self._name = ""
        self._data: list[str] = []

    def line(self, line: str) -> Event | None:
        """Read a line; give the event that it ends."""
        self.is_within = bool(line)
        if not line:
            return self._fired()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "":
                self.comments.append(value)
            case "id":
                self._id = value
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "retry":
                self.retry = int(value)
        return None

    def _fired(self) -> Event | None:
        self.last_id = self._id
        data, name = self._data, self._name or "message"
        self._data, self._name = [], ""
        return Event(name, "\n".join(data), self.last_id) if data else None


class Refused(Exception):
    """The answer is no stream."""

    def __init__(self, status: int, error: dict[str, Any], headers: dict[str, str]) -> None:
        super().__init__(status, error)
        self.status = status
        self.error = error
        self.headers = headers

    @property
    def reason(self) -> str:
        """Of the ErrorInfo."""
        found: str = self.error["details"][0]["debug"]["reason"]
        return found


class Events:
    """One stream, while it is read."""

    def __init__(self, answer: aiohttp.ClientResponse, last_id: str) -> None:
        self.headers = answer.headers
        self.parser = Parser(last_id)
        self._content = answer.content

    @property
    def last_id(self) -> str:
        """By which to come back behind all that was read."""
        return self.parser.last_id

    async def next(self) -> Event | None:
        """Read the next event; None: the stream has ended."""
        while line := await self._content.readline():
            if event := self.parser.line(line.decode().removesuffix("\n")):
                return event
        return None

    async def named(self, name: str) -> Event:
        """Read up to the next event of this name."""
        while (event := await self.next()) is not None:
            if event.name == name:
                return event
        raise EOFError(name)

    async def skus(self, count: int) -> list[str]:
        """Read so many completions; tell what was ordered."""
        return [sku_of(await self.named("message")) for _ in range(count)]

    async def heartbeat(self) -> str:
        """Read until the server says that it has nothing to say; tell the place then."""
        before = len(self.parser.comments)
        while len(self.parser.comments) == before or self.parser.is_within:
            line = await self._content.readline()
            assert line, "the stream has ended"
            self.parser.line(line.decode().removesuffix("\n"))
        return self.last_id


def sku_of(event: Event) -> str:
    """Tell what was ordered."""
    found: str = event.json["order"]["lines"][0]["sku"]
    return found


@asynccontextmanager
async def events(
    port: int,
    host: str = "127.0.0.1",
    *,
    last_id: str = "",
    headers: dict[str, str] | None = None,
    **query: str,
) -> AsyncIterator[Events]:
    """Read a stream. Raises Refused."""
    asked = {**({"Last-Event-ID": last_id} if last_id else {}), **(headers or {})}
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as session,
        session.get(f"http://{host}:{port}{STREAM}", params=query, headers=asked) as answer,
    ):
        if answer.status != 200:
            raise Refused(answer.status, await answer.json(), dict(answer.headers))
        yield Events(answer, last_id)


async def all_of(stream: Events) -> list[Event]:
    """Read to the end."""
    found = []
    async with asyncio.timeout(30):
        while (event := await stream.next()) is not None:
            found.append(event)
    return found


@asynccontextmanager
async def frozen(port: int) -> AsyncIterator[socket.socket]:
    """A reader that asks for a stream, and then takes nothing of it."""
    loop = asyncio.get_running_loop()
    with socket.socket() as peer:
        peer.setblocking(False)  # noqa: FBT003 - as Python has it
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await loop.sock_connect(peer, ("127.0.0.1", port))
        await loop.sock_sendall(peer, f"GET {STREAM} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield peer
