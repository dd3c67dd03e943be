"""Completions to subscribers, against a bare stream of as many bytes encoded before.

Subscribers read as fast as they can, from the ring (the newest completions) and from the log, in
turns with the bare server's; then the latency from a completion to its subscriber is measured.
"""

import argparse
import json
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import load
import uvloop
from following import METHOD, Followers, Parts
from servers import Server, bare_server, order_server

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc

BATCH = 100
RING = 4_000
"""Completions that are in the ring for sure: it drops the older half of 8,192 at times."""
INSTANT = ("--handler", "instant:handle", "--workers", "64")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A stream to be measured: from which cursor, how many completions, how large each."""

    cursor: str
    events: int
    size: int

    def real(self) -> bytes:
        """Ask our server for it."""
        request = api.StreamCompletionsRequest(after_cursor=self.cursor, max_batch_size=BATCH)
        return request.SerializeToString()

    def bare(self) -> bytes:
        """Ask the bare server for as much."""
        messages = self.events // BATCH
        asked = {"messages": messages, "parts": BATCH, "bytes": self.size, "rate": 0}
        return json.dumps(asked | {"stays": True}).encode()


async def complete(port: int, count: int) -> list[api.StreamCompletionsResponse]:
    """Let orders complete while somebody listens; give every message told of them."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = api_grpc.OrderIntakeServiceStub(channel)
        stream = stub.StreamCompletions(api.StreamCompletionsRequest())
        messages = [await stream.read()]
        for _ in range(count // 1_000):
            batch = api.BatchPlaceOrdersRequest(requests=[load.REQUEST] * 1_000)
            await stub.BatchPlaceOrders(batch, timeout=60)
        while not messages[-1].completions or messages[-1].completions[-1].sequence < count:
            messages.append(await stream.read())
        stream.cancel()
    return messages


def rate(server: Server, subscribers: int, events: int, request: bytes) -> float:
    """Follow by a process of its own; tell completions a second, over all subscribers."""
    script = Path(__file__).with_name("following.py")
    command = [sys.executable, str(script), str(server.port), str(subscribers), str(events)]
    seconds = float(subprocess.check_output([*command, request.hex()], text=True))
    return subscribers * events / seconds


def throughput(ours: Server, bare: Server, shapes: dict[str, Shape], turns: int) -> None:
    """Measure each shape in turns and print the medians; 1,000 do not read the log at once."""
    for name, shape in shapes.items():
        for subscribers in (1, 20, 1_000) if name == "ring" else (1, 20):
            events = shape.events
            found: dict[str, list[float]] = {"ours": [], "bare": []}
            for _ in range(turns):
                found["ours"].append(rate(ours, subscribers, events, shape.real()))
                found["bare"].append(rate(bare, subscribers, events, shape.bare()))
            told, floor = (statistics.median(each) for each in found.values())
            print(
                f"  {name:9}{subscribers:6,} subscribers{told:12,.0f} completions/s"
                f"   {told / floor:.2f} of the bare stream ({floor:,.0f})"
            )


async def latency(server: Server, seconds: int, per_second: int) -> list[float]:
    """Place so many orders a second; tell how long each completion took to its subscriber."""
    found: list[float] = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = api_grpc.OrderIntakeServiceStub(channel)
        stream = stub.StreamCompletions(api.StreamCompletionsRequest(start_at=api.START_AT_LATEST))
        await stream.read()
        placing = load.paced(server.port, seconds=seconds, per_second=per_second)
        while len(found) < seconds * per_second:
            message: Any = await stream.read()
            now = time.time()
            for completion in message.completions:
                ended = completion.order.complete_time
                found.append(now - ended.seconds - ended.nanos / 1e9)
        placing.wait()
        stream.cancel()
    return found


async def bare_latency(server: Server, seconds: int, per_second: int, size: int) -> list[float]:
    """Tell how long messages of one completion take from the bare server, at the same rate."""
    asked = {"messages": seconds * per_second, "parts": 1, "bytes": size, "rate": per_second}
    followers = Followers(server.port, 1, json.dumps(asked | {"stays": True}).encode())
    await followers.started()
    found = []
    for _ in range(seconds * per_second):
        raw = await followers.calls[0].read()
        (sent,) = struct.unpack("<q", Parts.FromString(raw).sent)
        found.append(time.time() - sent / 1e6)
    await followers.close()
    return found


def told(name: str, seconds: list[float]) -> str:
    """Write down the middle and the far end of latencies."""
    parts = statistics.quantiles(seconds, n=100)
    return f"  {name:36} p50 {parts[49] * 1e3:6.2f} ms   p99 {parts[98] * 1e3:6.2f} ms"


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="turns of each server")
    parser.add_argument("--seconds", type=int, default=10, help="how long latency is measured")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd()))
        ours = stack.enter_context(order_server(folder, *INSTANT))
        bare = stack.enter_context(bare_server("bare_stream.py"))
        keeping = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{ours.port}"))
        method: Any = keeping.unary_stream(METHOD)
        kept = method(  # the ring is kept while somebody subscribes
            api.StreamCompletionsRequest(start_at=api.START_AT_LATEST).SerializeToString()
        )
        next(kept)
        messages = uvloop.run(complete(ours.port, 10_000))
        whole = [each for message in messages for each in message.completions]
        size = sum(each.ByteSize() for each in whole) // len(whole)
        shapes = {
            "ring": Shape(cursor=whole[-RING - 1].cursor, events=RING, size=size),
            "log": Shape(cursor="", events=RING, size=size),
        }
        print(f"completions of {size} bytes, {BATCH} in a message; medians of {arguments.turns}")
        throughput(ours, bare, shapes, arguments.turns)
        print("1,000 completions a second, from their commit to the one subscriber")
        seconds = arguments.seconds
        print(told("ours", uvloop.run(latency(ours, seconds, 1_000))))
        print(
            told(
                "bare stream, from its write", uvloop.run(bare_latency(bare, seconds, 1_000, size))
            )
        )


if __name__ == "__main__":
    main()
