"""What readers of server-sent events cost: a thousand that are idle, and one that is frozen.

One reader measures how late completions come, while they come at a steady rate: beside the idle
ones, then beside a frozen one too, in turns. The idle ones wait for another customer's orders.
"""

import argparse
import asyncio
import json
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import load
import uvloop
from servers import Server, order_server

STREAM = f"{load.SERVICE}/StreamCompletions"
IDLE = "customerId=nobody&heartbeatInterval=60s"
EVENT_BYTES = 2**20
"""The longest line of an event that the measuring reader takes."""
WATCHED_SECONDS = 10.0
"""So long the server's processor time is watched while readers are idle, with heartbeats."""


class Reader:
    """A reader that looks at nothing but how late completions are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read an answer from here."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def of(cls, port: int, query: str) -> "Reader":
        """Ask for a stream; it stands on return."""
        made = cls(*await asyncio.open_connection("127.0.0.1", port, limit=EVENT_BYTES))
        made._writer.write(f"GET {STREAM}?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
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
        found = []
        for _ in range(orders):
            line = await self.line(b'data: {"sequence"')
            ended = json.loads(line[len(b"data: ") :])["order"]["completeTime"]
            found.append(time.time() - _seconds(ended))
        return found

    def close(self) -> None:
        """Leave."""
        self._writer.close()


def _seconds(text: str) -> float:
    whole, _, rest = text.removesuffix("Z").partition(".")
    parsed = time.strptime(f"{whole} UTC", "%Y-%m-%dT%H:%M:%S %Z")
    return time.mktime(parsed) - time.timezone + float(f"0.{rest or 0}")


@asynccontextmanager
async def frozen(port: int) -> AsyncIterator[None]:
    """A reader that asks for everything, and takes nothing."""
    loop = asyncio.get_running_loop()
    with socket.socket() as peer:
        peer.setblocking(False)  # noqa: FBT003 - as Python has it
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await loop.sock_connect(peer, ("127.0.0.1", port))
        asked = f"GET {STREAM} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await loop.sock_sendall(peer, asked.encode())
        yield


@dataclass(frozen=True, kw_only=True)
class Run:
    """How late completions came, in ms; what each cost the server; by how much its memory grew."""

    p50: float
    p99: float
    cpu_us: float
    grown: float


async def measured(server: Server, port: int, orders: int, rate: int) -> Run:
    """Let orders complete, and one reader be told of them."""
    before, cpu = server.memory(), server.cpu_seconds()
    reader = await Reader.of(port, "startAt=START_AT_LATEST")
    placing = load.paced(server.port, seconds=orders // rate, per_second=rate)
    late = await reader.late(orders)
    placing.wait()
    reader.close()
    p50, p99 = load.middle_and_far(late)
    return Run(
        p50=p50 * 1e3,
        p99=p99 * 1e3,
        cpu_us=(server.cpu_seconds() - cpu) / orders * 1e6,
        grown=(server.memory() - before) / 2**20,
    )


async def idle(server: Server, port: int, count: int) -> list[Reader]:
    """Let readers wait; tell what each costs."""
    warm = [await Reader.of(port, IDLE) for _ in range(50)]
    before = server.memory()
    readers = [await Reader.of(port, IDLE) for _ in range(count)]
    kib = (server.memory() - before) / count / 1024
    cpu = server.cpu_seconds()
    await asyncio.sleep(WATCHED_SECONDS)
    share = (server.cpu_seconds() - cpu) / WATCHED_SECONDS
    print(f"{count:,} idle readers: {kib:.1f} KiB each; {share:.1%} of a core for all of them")
    return warm + readers


def told(name: str, runs: list[Run]) -> str:
    """Write the medians of runs, with the lowest and the highest p99."""
    p50, p99, cpu, grown = (
        statistics.median(getattr(run, what) for run in runs)
        for what in ("p50", "p99", "cpu_us", "grown")
    )
    low, high = min(run.p99 for run in runs), max(run.p99 for run in runs)
    return (
        f"  {name:24} p50 {p50:5.1f} ms   p99 {p99:5.1f} ms ({low:.1f} to {high:.1f})"
        f"   {cpu:4.0f} us an order   memory {grown:+.1f} MiB"
    )


async def measure(server: Server, asked: argparse.Namespace) -> None:
    """Measure and print."""
    port = int(server.metrics.split(":")[2].partition("/")[0])
    await measured(server, port, asked.orders, asked.rate)  # it grows at first, whoever reads
    alone = [await measured(server, port, asked.orders, asked.rate)]
    readers = await idle(server, port, asked.readers)
    beside, besides_frozen = [], []
    for _ in range(asked.turns):
        beside.append(await measured(server, port, asked.orders, asked.rate))
        async with frozen(port):
            besides_frozen.append(await measured(server, port, asked.orders, asked.rate))
    print(f"{asked.orders:,} orders complete, {asked.rate} a second; one reader measures")
    print(told("alone", alone))
    print(told(f"beside {len(readers):,} idle ones", beside))
    print(told("and beside a frozen one", besides_frozen))
    for reader in readers:
        reader.close()


def main() -> None:
    """Run a server, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=1_000, help="that are idle")
    parser.add_argument("--orders", type=int, default=4_000, help="in a turn")
    parser.add_argument("--rate", type=int, default=400, help="orders a second")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    room = ("--http", "127.0.0.1:0", "--http-connections", str(asked.readers + 100))
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as folder,
        order_server(folder, "--handler", "instant:handle", "--workers", "64", *room) as server,
    ):
        uvloop.run(measure(server, asked))


if __name__ == "__main__":
    main()
