"""What a connection may bring in place of what PostgreSQL sent."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

CHUNK = 64 * 1024
TYPES = b"RKZTDC123nNEStAsGHWcdv"
LENGTHS = (0, 3, 4, 20, 1 << 24, 1 << 30, 2**31 - 1, -1, -(2**31))
COUNTS = (0, 1, 7, 1000, 65535)


def garbled(chance: Random, sent: bytes) -> bytes:
    """Make something else of what was sent: noise, wrong lengths, another order, pieces."""
    kinds = (_noise, _message, _cut, _spoiled, _shuffled, _doubled, _miscounted, _missized)
    return chance.choice(kinds)(chance, sent)


def _noise(chance: Random, _: bytes) -> bytes:
    return chance.randbytes(chance.choice((1, 5, 100, 5000)))


def _message(chance: Random, _: bytes) -> bytes:
    """A head with some length, and a body that does not have it."""
    head = struct.pack("!ci", chance.choice(TYPES).to_bytes(), chance.choice(LENGTHS))
    return head + chance.randbytes(chance.choice((0, 1, 30)))


def _cut(chance: Random, sent: bytes) -> bytes:
    at = chance.randrange(len(sent))
    return sent[:at] + chance.choice((b"", _noise(chance, sent))) + sent[at + 1 :]


def _spoiled(chance: Random, sent: bytes) -> bytes:
    spoiled = bytearray(sent)
    for _ in range(chance.choice((1, 2, 8))):
        spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
    return bytes(spoiled)


def _shuffled(chance: Random, sent: bytes) -> bytes:
    messages = _messages(sent)
    chance.shuffle(messages)
    return b"".join(messages)


def _doubled(chance: Random, sent: bytes) -> bytes:
    messages = _messages(sent)
    return b"".join([*messages, chance.choice(messages)])


def _miscounted(chance: Random, sent: bytes) -> bytes:
    count = struct.pack("!H", chance.choice(COUNTS))
    return b"".join(
        one[:5] + count + one[7:] if one[:1] in b"TDt" else one for one in _messages(sent)
    )


def _missized(chance: Random, sent: bytes) -> bytes:
    size = struct.pack("!i", chance.choice(LENGTHS))
    return b"".join(
        one[:7] + size + one[11:] if one[:1] == b"D" else one for one in _messages(sent)
    )


def _messages(sent: bytes) -> list[bytes]:
    messages, left = [], sent
    while len(left) > 4:  # a head and more
        size = struct.unpack_from("!i", left, 1)[0] + 1
        messages.append(left[:size])
        left = left[size:]
    return messages or [sent]


class Garbler:
    """A proxy to a PostgreSQL, which says something else now and then."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self.garbled = 0
        """How often it did."""
        self._chance: Random | None = None
        self._grown = asyncio.Condition()

    async def garble(self, seed: int) -> None:
        """Wait until something that the server said was garbled, in a way that `seed` decides."""
        before, self._chance = self.garbled, Random(seed)
        async with self._grown:
            await self._grown.wait_for(lambda: self.garbled > before)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection, to its end."""
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        pumps = [
            asyncio.create_task(_pump(reader, back)),
            asyncio.create_task(self._pump_back(there, writer)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for each in (writer, back):
            each.close()

    async def _pump_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while sent := await reader.read(CHUNK):
            chance, self._chance = self._chance, None
            writer.write(sent if chance is None else garbled(chance, sent))
            await writer.drain()
            if chance is not None:
                self.garbled += 1
                async with self._grown:
                    self._grown.notify_all()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while sent := await reader.read(CHUNK):
        writer.write(sent)
        await writer.drain()


@asynccontextmanager
async def garbler(port: int) -> AsyncIterator[Garbler]:
    """Run a proxy to the PostgreSQL at this port."""
    made = Garbler(port)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
