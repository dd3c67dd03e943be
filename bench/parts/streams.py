"""Completions to subscribers, against a bare stream of as many bytes that were encoded before.

Subscribers are in a process of their own and read as fast as they can: from the ring (the newest
completions) and from the log. Live: the way from a completion to its one subscriber.
"""

import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import load
from following import METHOD, Followers, Parts
from servers import Server
from turns import Bare, Case, Ours, Part, Turn, timed

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc

IN_A_MESSAGE = 100
STORED, LOG = 30_000, 20_000
"""Completions that there are, and how many of them, the oldest, are in the log only."""
RING = 4_000
"""Completions that are in the ring for sure: it drops the older half of 8,192 at times."""
SIZE, SIZE_ERROR = 225, 0.05
"""Bytes of an encoded completion, and how far this may be from what ours are."""
PER_SECOND = 1_000
ORDER = api.PlaceOrderRequest()
ORDER.CopyFrom(load.REQUEST)
ORDER.labels["note"] = "please ring twice, then leave it with the neighbours above"
WORKING = Ours(("--handler", "instant:handle", "--workers", "64"))


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A server with completions, and the cursor from which on they are in the ring."""

    server: Server
    ring: str


class Completed:
    """Our server, after orders completed while somebody listened."""

    is_ours = True

    @contextmanager
    def start(self, folder: Path, tree: Path | None) -> Iterator[Stored]:
        """Run it; the ring is kept while somebody subscribes, so somebody does."""
        with (
            WORKING.start(folder, tree) as server,
            grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            method: Any = channel.unary_stream(METHOD)
            kept = method(request(start_at=api.START_AT_LATEST))
            next(kept)
            Thread(target=drain, args=[kept], daemon=True).start()
            cursors = load.run(complete(server.port, STORED))
            yield Stored(server=server, ring=cursors[-RING - 1])
            kept.cancel()


def drain(stream: Any) -> None:  # noqa: ANN401 - a call of grpc
    """Read a stream to its end: who reads nothing is ended after a minute."""
    with suppress(grpc.RpcError):
        for _ in stream:
            pass


def request(**fields: Any) -> bytes:  # noqa: ANN401 - of the contract
    """Encode a subscription."""
    asked = api.StreamCompletionsRequest(max_batch_size=IN_A_MESSAGE, **fields)
    return asked.SerializeToString()


async def complete(port: int, count: int) -> list[str]:
    """Let orders complete while somebody listens; give the cursor of each."""
    found: list[Any] = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = api_grpc.OrderIntakeServiceStub(channel)
        stream = stub.StreamCompletions(api.StreamCompletionsRequest())
        await stream.read()
        for _ in range(count // 1_000):
            batch = api.BatchPlaceOrdersRequest(requests=[ORDER] * 1_000)
            await stub.BatchPlaceOrders(batch, timeout=60)
        while len(found) < count:
            found += (await stream.read()).completions
        stream.cancel()
    mean = sum(each.ByteSize() for each in found) / len(found)
    if abs(mean / SIZE - 1) > SIZE_ERROR:
        raise RuntimeError(f"a completion has {mean:.0f} bytes, those of the bare stream {SIZE}")
    return [each.cursor for each in found]


def ring(stored: Stored, events: int, *, readers: int) -> Turn:
    """Read the newest completions."""
    return follow(stored.server, events, readers, request(after_cursor=stored.ring))


def log(stored: Stored, events: int, *, readers: int) -> Turn:
    """Read the oldest completions."""
    return follow(stored.server, events, readers, request(start_at=api.START_AT_EARLIEST))


def bare(server: Server, events: int, *, readers: int) -> Turn:
    """Read as many bytes from the bare stream."""
    messages = events // IN_A_MESSAGE
    return follow(server, events, readers, asked(messages=messages, parts=IN_A_MESSAGE))


def asked(*, messages: int, parts: int, rate: int = 0) -> bytes:
    """Ask the bare stream for so much."""
    shape = {"messages": messages, "parts": parts, "bytes": SIZE, "rate": rate, "stays": True}
    return json.dumps(shape).encode()


def follow(server: Server, events: int, readers: int, subscription: bytes) -> Turn:
    """Follow by a process of its own; count each completion once for each reader."""
    script = str(Path(__file__).parents[1] / "following.py")
    words = (str(server.port), str(readers), str(events), subscription.hex())
    found: list[float] = []

    def drive() -> None:
        command = (sys.executable, script, *words)
        found.append(float(subprocess.check_output(command, text=True)))

    turn = timed(server, readers * events, drive)
    return turn | {"per_second": readers * events / found[0]}


def live(server: Server, orders: int) -> Turn:
    """Place orders at a steady rate; tell how late each completion was with its subscriber."""
    return timed(server, orders, lambda: late(heard(server.port, server.port, orders)))


def late(seconds: list[float]) -> Turn:
    """Tell the middle and the far end of latencies."""
    p50, p99 = load.middle_and_far(seconds)
    return {"p50_ms": p50 * 1e3, "p99_ms": p99 * 1e3}


def heard(placed_at: int, heard_at: int, orders: int) -> list[float]:
    """Place orders at a port at a steady rate; tell how late their completions came to another."""
    return load.run(hear(placed_at, heard_at, orders))


async def hear(placed_at: int, heard_at: int, orders: int) -> list[float]:
    """Do so in the present event loop."""
    found: list[float] = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{heard_at}") as channel:
        stub: Any = api_grpc.OrderIntakeServiceStub(channel)
        stream = stub.StreamCompletions(api.StreamCompletionsRequest(start_at=api.START_AT_LATEST))
        await stream.read()
        placing = load.paced(placed_at, seconds=orders // PER_SECOND, per_second=PER_SECOND)
        while len(found) < orders:
            message = await stream.read()
            now = time.time()
            for completion in message.completions:
                ended = completion.order.complete_time
                found.append(now - ended.seconds - ended.nanos / 1e9)
        placing.wait()
        stream.cancel()
    return found


def bare_live(server: Server, messages: int) -> Turn:
    """Tell how long messages of one completion take from the bare server, at the same rate."""
    return timed(server, messages, lambda: late(load.run(_bare_live(server.port, messages))))


async def _bare_live(port: int, messages: int) -> list[float]:
    followers = Followers(port, 1, asked(messages=messages, parts=1, rate=PER_SECOND))
    await followers.started()
    found = []
    for _ in range(messages):
        raw = await followers.calls[0].read()
        (sent,) = struct.unpack("<q", Parts.FromString(raw).sent)
        found.append(time.time() - sent / 1e6)
    await followers.close()
    return found


def reading(on: str, drive: Callable[..., Turn], events: int, *counts: int) -> dict[str, Case]:
    """Give a case for each number of readers of so many completions."""
    return {
        f"{drive.__name__}, {count:,} reader{'s' * (count > 1)}": Case(
            on=on, drive=partial(drive, readers=count), orders=events, fixed=True
        )
        for count in counts
    }


PART = Part(
    told="Completions to subscribers, beside a bare stream of as many bytes",
    servers={
        "ours": Completed(),
        "bare": Bare("bare_stream.py"),
        "live": WORKING,  # whose orders would drive the others' out of the ring
    },
    cases={
        **reading("ours", ring, RING, 1, 20, 1_000),
        **reading("ours", log, LOG, 1, 20),
        **reading("bare", bare, LOG, 1, 20),
        **reading("bare", bare, RING, 1_000),
        "live": Case(on="live", drive=live, orders=4_000, unit=1_000),
        "bare, live": Case(on="bare", drive=bare_live, orders=4_000, unit=1_000),
    },
)
