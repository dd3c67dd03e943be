"""A peer that speaks HTTP/2 by hand, and so may do what no gRPC library does."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hpack

PLACE = "/orderintake.v1.OrderIntakeService/PlaceOrder"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0x1, 0x3, 0x4, 0x6, 0x9
END_HEADERS = 0x4
CANCEL = struct.pack(">I", 0x8)

_CONFIG = h2.config.H2Configuration(
    client_side=True,
    header_encoding="utf-8",
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


def headers(path: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """Give the headers that begin a call."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    ]


def framed(message: bytes) -> bytes:
    """Give a message as gRPC sends it: its length before it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Write a frame of HTTP/2, whatever it may be."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def begun(path: str) -> bytes:
    """Write the headers of a call, such that they may be repeated on a connection."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    block: bytes = encoder.encode(headers(path))
    return block


@dataclass
class Answer:
    """What came of a call: all its headers and trailers, its data, and whether it ended."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    reset: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, event: Any) -> None:  # noqa: ANN401 - any of h2's events
        """Take one event of the call's stream."""
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            self.headers |= {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            self.data += event.data
        elif isinstance(event, h2.events.StreamReset):
            self.reset = int(event.error_code)
            self.ended.set()
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.set()


class Peer:
    """One connection, of which the test says every frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin to speak HTTP/2 on it."""
        self._reader = reader
        self._writer = writer
        self._state = h2.connection.H2Connection(config=_CONFIG)
        self._answers: dict[int, Answer] = {}
        self.is_closed = asyncio.Event()
        """Whether the server has closed the connection."""
        self._pinged = asyncio.Event()
        self._state.initiate_connection()
        self._flush()

    def begin(self, path: str, *more: tuple[str, str], ends: bool = False) -> int:
        """Begin a call; tell its stream."""
        stream = self._state.get_next_available_stream_id()
        self._answers[stream] = Answer()
        self._state.send_headers(stream, headers(path, *more), end_stream=ends)
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, *, ends: bool = False) -> None:
        """Send bytes of a call's request, framed or not."""
        self._state.send_data(stream, data, end_stream=ends)
        self._flush()

    def reset(self, stream: int) -> None:
        """Leave a call."""
        self._state.reset_stream(stream, 0x8)
        self._flush()

    async def ping(self) -> None:
        """Ask whether the server is there; wait until it says so, or has closed the connection."""
        self._pinged.clear()
        with suppress(h2.exceptions.ProtocolError):  # the server has said that it will close
            self._state.ping(bytes(8))
        self._flush()
        waits = {asyncio.ensure_future(each.wait()) for each in (self._pinged, self.is_closed)}
        _, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in left:
            each.cancel()

    async def answer(self, stream: int) -> Answer:
        """Wait until a call has ended; tell its answer."""
        answer = self._answers[stream]
        await answer.ended.wait()
        return answer

    async def ask(self, path: str, body: bytes) -> Answer:
        """Make a call with these bytes as its body."""
        stream = self.begin(path)
        self.send(stream, body, ends=True)
        return await self.answer(stream)

    async def read_on(self) -> None:
        """Take what the server sends until it closes the connection."""
        with suppress(ConnectionError):
            while data := await self._reader.read(65_536):
                for event in self._state.receive_data(data):
                    self._take(event)
                self._flush()
        self.is_closed.set()
        for answer in self._answers.values():
            answer.ended.set()

    def _take(self, event: Any) -> None:  # noqa: ANN401 - any of h2's events
        if isinstance(event, h2.events.PingAckReceived):
            self._pinged.set()
        if answer := self._answers.get(getattr(event, "stream_id", None) or 0):
            answer.take(event)
        if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
            self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def _flush(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(self._state.data_to_send())


@asynccontextmanager
async def peer(address: str) -> AsyncIterator[Peer]:
    """Connect to a server, and read what it sends while inside."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    speaker = Peer(reader, writer)
    reading = asyncio.create_task(speaker.read_on(), name="hostile-reads")
    try:
        yield speaker
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        writer.close()
