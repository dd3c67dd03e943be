"""What readers of server-sent events cost: a thousand that are idle, and one that is frozen.

One more reader measures how late completions come, while they come at a steady rate: alone, beside
the idle ones, and beside a frozen one too. The idle ones wait for another customer's orders.
"""

import asyncio
import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import load
from google.protobuf.timestamp_pb2 import Timestamp
from servers import Server
from turns import Case, Ours, Part, Turn

from parts.http import HTTP, http_port
from parts.streams import WORKING, late

READERS, ORDERS, PER_SECOND = 1_000, 4_000, 400
STREAM = f"{load.SERVICE}/StreamCompletions"
IDLE = "customerId=nobody&heartbeatInterval=5s"
WATCHED_SECONDS = 10.0
"""So long the server's processor time is watched while readers are idle: two heartbeats of each."""
_DATA = b"data: "


class Reader:
    """A reader, of whom nothing is asked but to tell how late completions are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read an answer from here."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def of(cls, port: int, query: str) -> "Reader":
        """Ask for a stream; it stands on return."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(asked(query))
        made = cls(reader, writer)
        await made.line(b"event: caught_up")
        return made

    async def line(self, begin: bytes) -> bytes:
        """Read on to the next line that begins so."""
        while not (line := await self._reader.readline()).startswith(begin):
            if not line:
                raise RuntimeError("the stream has ended")
        return line

    async def late(self, orders: int) -> list[float]:
        """Read so many completions; tell how many seconds after its end each came."""
        found: list[float] = []
        ended = Timestamp()
        while len(found) < orders:
            line = await self.line(_DATA)
            now = time.time()
            if order := json.loads(line.removeprefix(_DATA)).get("order"):
                ended.FromJsonString(order["completeTime"])
                found.append(now - ended.ToMicroseconds() / 1e6)
        return found

    def close(self) -> None:
        """Leave."""
        self._writer.close()


def asked(query: str) -> bytes:
    """Write the request of a stream."""
    return f"GET {STREAM}?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def _idle(port: int, count: int) -> list[Reader]:
    return [await Reader.of(port, IDLE) for _ in range(count)]


class Anew:
    """Our server, started for each turn: memory that it had once it does not ask for again."""

    is_ours = True

    @contextmanager
    def start(self, folder: Path, tree: Path | None) -> Iterator[Callable[[], Any]]:
        """Give what starts it."""
        numbers = itertools.count()

        def start() -> AbstractContextManager[Server]:
            data = folder / str(next(numbers))
            data.mkdir(mode=0o700)
            return SERVER.start(data, tree)

        yield start


def idle(start: Callable[[], AbstractContextManager[Server]], count: int) -> Turn:
    """Tell the memory of each of so many idle readers, and the processor time of all of them."""
    with start() as server:
        return load.run(_idling(server, count))


async def _idling(server: Server, count: int) -> Turn:
    port = http_port(server)
    warm = await _idle(port, 100)
    memory = server.memory()
    readers = await _idle(port, count)
    kib = (server.memory() - memory) / count / 1024
    cpu = server.cpu_seconds()
    await asyncio.sleep(WATCHED_SECONDS)
    percent = (server.cpu_seconds() - cpu) / WATCHED_SECONDS * 100
    for reader in warm + readers:
        reader.close()
    return {"kib_each": kib, "percent": percent}


def heard(server: Server, orders: int, *, readers: int, with_frozen: bool) -> Turn:
    """Let orders complete at a steady rate beside others who read; tell how late they come."""
    with ExitStack() as stack:
        if with_frozen:
            _freeze(http_port(server), stack.enter_context(socket.socket()))
        return load.run(_heard(server, orders, readers))


def _freeze(port: int, peer: socket.socket) -> None:
    """Ask for everything, and take nothing."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    peer.connect(("127.0.0.1", port))
    peer.sendall(asked(""))


async def _heard(server: Server, orders: int, count: int) -> Turn:
    port = http_port(server)
    readers = await _idle(port, count)
    reader = await Reader.of(port, "startAt=START_AT_LATEST")
    memory, cpu = server.memory(), server.cpu_seconds()
    placing = load.paced(server.port, seconds=orders // PER_SECOND, per_second=PER_SECOND)
    turn = late(await reader.late(orders))
    placing.wait()
    turn["cpu_us"] = (server.cpu_seconds() - cpu) / orders * 1e6
    turn["grown_mib"] = (server.memory() - memory) / 2**20
    for each in (reader, *readers):
        each.close()
    return turn


def hearing(on: str, *, readers: int = 0, with_frozen: bool = False) -> Case:
    """Measure by one reader."""
    drive = partial(heard, readers=readers, with_frozen=with_frozen)
    return Case(on=on, drive=drive, orders=ORDERS, unit=PER_SECOND)


SERVER = Ours((*WORKING.options, *HTTP))
PART = Part(
    told="A thousand idle readers of server-sent events; one that measures, beside a frozen one",
    servers={"anew": Anew(), **dict.fromkeys(("alone", "beside", "frozen"), SERVER)},
    cases={
        "idle": Case(on="anew", drive=idle, orders=READERS, fixed=True),
        "alone": hearing("alone"),
        "beside the idle ones": hearing("beside", readers=READERS),
        "beside the idle ones and a frozen one": hearing(
            "frozen", readers=READERS, with_frozen=True
        ),
    },
    turns=3,
    warm_up=0.5,
)
