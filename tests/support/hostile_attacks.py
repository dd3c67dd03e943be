"""What hostile peers do to a server, each attack by many connections at the same time.

PYTHONPATH=tests python -m support.hostile_attacks ADDRESS ATTACK SECONDS
"""

import asyncio
import itertools
import random
import struct
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_work_service_pb2 as work_api
from support.hostile_peer import (
    CANCEL,
    CONTINUATION,
    END_HEADERS,
    HEADERS,
    PING,
    PLACE,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    begun,
    frame,
    framed,
)
from support.orders import order

CONNECTIONS = 20
STREAMS = 128
"""Calls that a connection tries to hold at once: more than the server lets it."""
RESETS = 50_000
"""By all connections together, as fast as they go, and once."""
CHUNK = 64
STREAM = "/orderintake.v1.OrderIntakeService/StreamCompletions"
LEASE = "/orderintake.v1.OrderWorkService/LeaseOrders"
KEEP = "/orderintake.v1.OrderWorkService/KeepLeases"
SLOW_SECONDS = 0.05

Sends = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _connection(
    address: str, *, reads: bool = True, settings: bytes = b""
) -> AsyncIterator[asyncio.StreamWriter]:
    """Give a connection that has said what HTTP/2 begins with, and perhaps never reads."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(PREFACE + frame(SETTINGS, 0, 0, settings))
    reading = asyncio.create_task(_read_on(reader)) if reads else None
    try:
        yield writer
    finally:
        if reading:
            reading.cancel()
        writer.transport.abort()


async def _drain(writer: asyncio.StreamWriter) -> None:
    """Wait until it is sent. Raises ConnectionError once the server has hung up."""
    await writer.drain()
    if writer.transport.is_closing():
        raise ConnectionResetError


async def _read_on(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(1 << 20):
            pass


def _streams() -> Iterator[int]:
    return itertools.count(1, 2)


async def _resets(writer: asyncio.StreamWriter) -> None:
    """Begin calls and leave them in the same breath."""
    block = begun(PLACE)
    ids = _streams()
    for _ in range(RESETS // CONNECTIONS // CHUNK + 1):
        for stream in itertools.islice(ids, CHUNK):
            writer.write(frame(HEADERS, END_HEADERS, stream, block))
            writer.write(frame(RST_STREAM, 0, stream, CANCEL))
        await _drain(writer)


async def _placed_resets(writer: asyncio.StreamWriter) -> None:
    """Send whole orders and leave before their receipts."""
    block, ids = begun(PLACE), _streams()
    body = framed(order().SerializeToString())
    for _ in range(RESETS // 10 // CONNECTIONS // CHUNK + 1):
        for stream in itertools.islice(ids, CHUNK):
            writer.write(frame(HEADERS, END_HEADERS, stream, block))
            writer.write(frame(0, 1, stream, body))
            writer.write(frame(RST_STREAM, 0, stream, CANCEL))
        await _drain(writer)


async def _half_open(writer: asyncio.StreamWriter) -> None:
    """Begin calls, and never send their requests."""
    for stream in itertools.islice(_streams(), STREAMS):
        writer.write(frame(HEADERS, END_HEADERS, stream, begun(PLACE)))
    await _drain(writer)


async def _never_reading(writer: asyncio.StreamWriter) -> None:
    """Subscribe to completions and list orders, and take nothing of them."""
    request = framed(api.StreamCompletionsRequest().SerializeToString())
    for stream in itertools.islice(_streams(), STREAMS):
        writer.write(frame(HEADERS, END_HEADERS, stream, begun(STREAM)))
        writer.write(frame(0, 1, stream, request))
    await _drain(writer)


async def _workers_never_reading(writer: asyncio.StreamWriter) -> None:
    """Wait for orders as many workers, and take nothing of what is answered."""
    for stream in itertools.islice(_streams(), STREAMS):
        path, request = (LEASE, _lease()) if stream % 4 == 1 else (KEEP, _keep())
        writer.write(frame(HEADERS, END_HEADERS, stream, begun(path)))
        writer.write(frame(0, 1, stream, framed(request)))
    await _drain(writer)


async def _workers_leaving(writer: asyncio.StreamWriter) -> None:
    """Wait for orders, and leave in the same breath."""
    block, ids = begun(LEASE), _streams()
    for _ in range(RESETS // 10 // CONNECTIONS // CHUNK + 1):
        for stream in itertools.islice(ids, CHUNK):
            writer.write(frame(HEADERS, END_HEADERS, stream, block))
            writer.write(frame(0, 1, stream, framed(_lease())))
            writer.write(frame(RST_STREAM, 0, stream, CANCEL))
        await _drain(writer)


def _lease() -> bytes:
    """Ask for an order, as a worker that nobody knows."""
    request = work_api.LeaseOrdersRequest(worker_id=uuid.uuid4().hex, call=1, slots=1)
    return request.SerializeToString()


def _keep() -> bytes:
    return work_api.KeepLeasesRequest(worker_id=uuid.uuid4().hex).SerializeToString()


async def _header_flood(writer: asyncio.StreamWriter) -> None:
    """Send headers that never end."""
    writer.write(frame(HEADERS, 0, 1, begun(PLACE)))
    for number in range(5_000):
        more = b"\0\x07x-%05d" % number + b"\x7f\x81\x01" + b"a" * 256
        writer.write(frame(CONTINUATION, 0, 1, more))
        await _drain(writer)


async def _large_headers(writer: asyncio.StreamWriter) -> None:
    """Begin calls with more headers than are taken."""
    more = b"".join(b"\0\x05x-%03d\x7f\x81\x01" % n + b"a" * 256 for n in range(60))
    for stream in itertools.islice(_streams(), 500):
        writer.write(frame(HEADERS, END_HEADERS, stream, begun(PLACE) + more))
        await _drain(writer)


async def _slow_senders(writer: asyncio.StreamWriter) -> None:
    """Send requests byte by byte."""
    ids = list(itertools.islice(_streams(), STREAMS))
    for stream in ids:
        writer.write(frame(HEADERS, END_HEADERS, stream, begun(PLACE)))
        writer.write(frame(0, 0, stream, b"\0" + (60_000).to_bytes(4, "big")))
    while True:
        for stream in ids:
            writer.write(frame(0, 0, stream, b"a"))
        await _drain(writer)
        await asyncio.sleep(SLOW_SECONDS)


async def _garbage(writer: asyncio.StreamWriter) -> None:
    """Send requests that are no messages."""
    chance, ids = random.Random(1), _streams()
    for _ in range(20):
        for stream in itertools.islice(ids, CHUNK):
            writer.write(frame(HEADERS, END_HEADERS, stream, begun(PLACE)))
            writer.write(frame(0, 1, stream, framed(chance.randbytes(200))))
        await _drain(writer)
        await asyncio.sleep(SLOW_SECONDS)


async def _pings(writer: asyncio.StreamWriter) -> None:
    for _ in range(5_000):
        writer.write(frame(PING, 0, 0, bytes(8)))
    await _drain(writer)


async def _settings(writer: asyncio.StreamWriter) -> None:
    for number in range(5_000):
        writer.write(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535 + number % 2)))
    await _drain(writer)


async def _silent(_: asyncio.StreamWriter) -> None:
    """Say nothing after the first word."""


ATTACKS: dict[str, Sends] = {
    "resets": _resets,
    "resets of whole orders": _placed_resets,
    "half-open calls": _half_open,
    "never reading": _never_reading,
    "workers that never read": _workers_never_reading,
    "workers that leave": _workers_leaving,
    "headers without an end": _header_flood,
    "large headers": _large_headers,
    "slow senders": _slow_senders,
    "garbage": _garbage,
    "pings": _pings,
    "settings": _settings,
    "silence": _silent,
}


async def attack(address: str, name: str, *, seconds: float) -> None:
    """Let all connections attack together; those that are done stay open until it is over."""
    async with AsyncExitStack() as stack:
        writers = [
            await stack.enter_async_context(_connection(address, reads="never read" not in name))
            for _ in range(CONNECTIONS)
        ]
        sending = [asyncio.create_task(_send(ATTACKS[name], writer)) for writer in writers]
        await asyncio.sleep(seconds)
        for task in sending:
            task.cancel()
        await asyncio.wait(sending)


async def _send(sends: Sends, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):  # the server hung up: so it may
        await sends(writer)


if __name__ == "__main__":
    asyncio.run(attack(sys.argv[1], sys.argv[2], seconds=float(sys.argv[3])))
