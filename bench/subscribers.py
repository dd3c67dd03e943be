"""What subscribers cost: ten thousand that are idle, one that is slow, and one that is frozen.

The idle ones are told beside those of a bare stream. The slow ones are let loose on a server that
completes orders at a steady rate, and told beside the same run without them.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import load
import uvloop
from following import Followers, Parts
from google.protobuf.duration_pb2 import Duration
from servers import Server, bare_server, order_server

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc

INSTANT = ("--handler", "instant:handle", "--workers", "64")
SLOW_BATCH = 10
"""Completions in a message of the slow reader, which takes one message a second."""
MOST_SAID = 64 * 1024 * 1024
"""Bytes in which a follower tells all its latencies, at the most."""


def request(**fields: Any) -> bytes:  # noqa: ANN401 - of the contract
    """Encode a subscription that is seldom sent heartbeats."""
    asked = api.StreamCompletionsRequest(heartbeat_interval=Duration(seconds=60), **fields)
    return asked.SerializeToString()


async def idle(server: Server, count: int, asked: bytes) -> float:
    """Tell how many KiB of memory each of so many idle subscribers costs."""
    warm = Followers(server.port, 100, asked)
    await warm.started()
    before = server.memory()
    followers = Followers(server.port, count, asked)
    await followers.started()
    after = server.memory()
    await followers.close()
    await warm.close()
    return (after - before) / count / 1024


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was seen while orders completed: latencies in seconds, and memory in MiB."""

    seconds: list[float]
    grown: float
    slow_got: int = 0


async def under_load(orders: int, per_second: int, *, with_slow: bool) -> Run:
    """Let orders complete at a steady rate; one subscriber measures, two more are slow if asked."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd()))
        server = stack.enter_context(order_server(folder, *INSTANT))
        await _drive(server, per_second, per_second)  # it grows at first, with or without
        before = server.memory()
        slow = _Slow(server.port) if with_slow else None
        seconds = await _drive(server, orders, per_second)
        grown = (server.memory() - before) / 2**20
        got = await slow.rest(orders + per_second) if slow else 0
        return Run(seconds=seconds, grown=grown, slow_got=got)


class _Slow:
    """One subscriber that reads ten completions a second, and one that reads none."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cursor = ""
        self._slow = Followers(port, 1, request(max_batch_size=SLOW_BATCH))
        self._frozen = Followers(port, 1, request())
        self._is_let_loose = asyncio.Event()
        self._got = 0
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while not self._is_let_loose.is_set():
            await self._message()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._is_let_loose.wait()

    async def _message(self) -> None:
        """Read one; ended for being too slow, come back with the cursor, as clients do."""
        try:
            message = Parts.FromString(await self._slow.calls[0].read())
        except grpc.aio.AioRpcError as ended:
            if ended.code() is not grpc.StatusCode.ABORTED:
                raise
            await self._slow.close()
            asked = request(max_batch_size=SLOW_BATCH, after_cursor=self._cursor)
            self._slow = Followers(self._port, 1, asked)
            return
        self._cursor = message.cursor
        self._got += len(message.completions)

    async def rest(self, events: int) -> int:
        """Let the slow one read freely until it has so many; tell how many it got in all."""
        self._is_let_loose.set()
        await self._reading
        while self._got < events:
            await self._message()
        for followers in (self._slow, self._frozen):
            await followers.close()
        return self._got


async def _drive(server: Server, orders: int, per_second: int) -> list[float]:
    """Follow by one fast subscriber while orders are placed; tell how late each completion came."""
    script = (sys.executable, __file__, "--follow", str(server.port), str(orders))
    follower = await asyncio.create_subprocess_exec(
        *script, stdout=subprocess.PIPE, limit=MOST_SAID
    )
    assert follower.stdout
    await follower.stdout.readline()
    placing = load.paced(server.port, seconds=orders // per_second, per_second=per_second)
    line = await follower.stdout.readline()
    placing.wait()
    await follower.wait()
    return [float(each) for each in json.loads(line)]


async def follow(port: int, orders: int) -> None:
    """Follow as a program: say when it stands, then how late each message came."""
    found: list[float] = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = api_grpc.OrderIntakeServiceStub(channel)
        stream = stub.StreamCompletions(api.StreamCompletionsRequest(start_at=api.START_AT_LATEST))
        await stream.read()
        print(flush=True)
        while orders > 0:
            message = await stream.read()
            orders -= len(message.completions)
            if message.completions:
                ended = message.completions[-1].order.complete_time
                found.append(round(time.time() - ended.seconds - ended.nanos / 1e9, 6))
        stream.cancel()
    print(json.dumps(found), flush=True)


def p99(seconds: list[float]) -> float:
    """Tell the latency in ms that one message in a hundred exceeds."""
    return statistics.quantiles(seconds, n=100)[98] * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=10_000, help="that are idle")
    parser.add_argument("--orders", type=int, default=20_000, help="that complete meanwhile")
    parser.add_argument("--rate", type=int, default=500, help="orders a second")
    parser.add_argument("--follow", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.follow:
        uvloop.run(follow(*arguments.follow))
        return
    count = arguments.subscribers
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        with order_server(folder, *INSTANT) as server:
            ours = uvloop.run(idle(server, count, request()))
        asked = {"messages": 0, "parts": 0, "bytes": 0, "rate": 0, "stays": True}
        with bare_server("bare_stream.py") as server:
            bare = uvloop.run(idle(server, count, json.dumps(asked).encode()))
    print(f"{count:,} idle subscribers: {ours:.1f} KiB each; of a bare stream {bare:.1f} KiB")
    orders, rate = arguments.orders, arguments.rate
    print(f"{orders:,} orders complete, {rate:,} a second; one subscriber keeps up")
    alone = uvloop.run(under_load(orders, rate, with_slow=False))
    beside = uvloop.run(under_load(orders, rate, with_slow=True))
    for name, run in (("alone", alone), ("beside a slow and a frozen one", beside)):
        print(f"  {name:32} p99 {p99(run.seconds):6.2f} ms   memory grew {run.grown:5.1f} MiB")
    print(f"  the slow one, let loose, got {beside.slow_got:,}")


if __name__ == "__main__":
    main()
