"""Strangers at a server that knows its callers: whatever they send, callers are served."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from orderintake_server.clock import Clock
from support.callers import Metadata, bearing, entry, key_of, write_access
from support.hostile_peer import PLACE, PREFACE, framed, peer
from support.in_process import Stub
from support.issuer import ISSUER, Key, claims, write_jwks
from support.orders import order
from support.pki import Pki
from support.process import Entry, ServerProcess, server_process

pytestmark = pytest.mark.seconds  # a server each
KNOWN = bearing(key_of("shop"))
MIB = 1024 * 1024
MANY = 10_000
AT_ONCE = 50
GROWN_BYTES = 24 * MIB
"""No number of bad tokens makes a server grow by more: 1,000 of them are remembered, and the rest
is what gRPC and malloc keep after calls of any kind."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    with server_process(tmp_path / "data", *_callers(tmp_path)) as process:
        yield process
        await _serves(process.address)
        assert await process.stops() == 0
    assert [entry for entry in process.log if _is_ours(entry)] == []


def _is_ours(entry: Entry) -> bool:
    """Tell whether an entry is an error of ours; gRPC's core tells of headers too large."""
    is_error = entry.get("level") not in {"debug", "info", "warning"}
    return is_error and "due to size limit" not in str(entry["event"])


def _callers(directory: Path) -> tuple[str, ...]:
    """Give the arguments with which a server knows the shop, and tokens of an issuer."""
    access = write_access(directory / "access.toml", [entry("shop", "customer", customer="*")])
    keys = write_jwks(directory / "keys.json", Key("ec"))
    return (
        *("--workers", "0", "--access", str(access)),
        *("--jwt-keys", str(keys), "--jwt-issuer", ISSUER),
    )


async def _serves(address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
    """Place an order as the shop."""
    opened = (
        grpc.aio.secure_channel(address, credentials)
        if credentials
        else grpc.aio.insecure_channel(address)
    )
    async with opened as channel:
        await Stub(channel).PlaceOrder(order(), metadata=KNOWN, timeout=30)


async def _outcomes(server: ServerProcess, metadata: Iterable[Metadata]) -> set[str]:
    """Make a call with each of these, some at once; tell what came of them."""
    left, found = iter(metadata), set()

    async def caller(channel: grpc.aio.Channel) -> None:
        for each in left:
            found.add(await _outcome(channel, each))

    async with grpc.aio.insecure_channel(server.address) as channel:
        await asyncio.gather(*(caller(channel) for _ in range(AT_ONCE)))
    return found


async def _outcome(channel: grpc.aio.Channel, metadata: Metadata, body: bytes = b"") -> str:
    """Make one call; tell its code."""
    place: Any = channel.unary_unary(PLACE)
    code = await place(body, metadata=metadata).code()
    return str(code.name)


@pytest.mark.parametrize("size", [7_000, 8_000, 16_000, 100_000])
async def test_a_huge_header_opens_nothing_whatever_its_size(
    server: ServerProcess, size: int
) -> None:
    outcomes = await _outcomes(server, [bearing("x" * (size - len("Bearer ")))] * 40)
    if size == 7_000:
        assert outcomes == {"UNAUTHENTICATED"}
    assert outcomes <= {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}


@pytest.mark.seconds
@pytest.mark.parametrize("count", [100, 1_000])
async def test_a_flood_of_headers_opens_nothing(server: ServerProcess, count: int) -> None:
    flood = tuple((f"x-{number}", "a" * 20) for number in range(count))
    repeated = tuple(("authorization", "Bearer x") for _ in range(count))
    outcomes = await _outcomes(server, [flood, repeated] * 20)
    assert outcomes <= {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}


@pytest.mark.parametrize("value", ["Bearer \u00e9", "Bearer \u2603" * 9, "B\u00e9arer x", "\x7f"])
async def test_bytes_beyond_ascii_in_a_header_open_nothing(
    server: ServerProcess, value: str
) -> None:
    async with peer(server.address) as stranger:
        stream = stranger.begin(PLACE, ("authorization", value))
        answer = await stranger.answer(stream)
    assert answer.headers.get("grpc-status") != "0"


@pytest.mark.seconds
async def test_large_messages_of_strangers_are_refused_before_they_have_come(
    server: ServerProcess,
) -> None:
    before = server.peak_memory()
    body = framed(b"\x0a\x02" * 2_000_000)
    async with AsyncExitStack() as stack:
        for _ in range(16):
            stranger = await stack.enter_async_context(peer(server.address))
            stream = stranger.begin(PLACE)
            stranger.send(stream, body[:16_000])  # and it never says the rest
            assert (await stranger.answer(stream)).headers["grpc-status"] == "16"
    async with grpc.aio.insecure_channel(server.address) as channel:
        for _ in range(16):
            assert await _outcome(channel, (), body[5:]) == "UNAUTHENTICATED"
    assert server.peak_memory() - before < 64 * MIB


@pytest.mark.seconds
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["different keys", "different tokens", "the same token"])
async def test_bad_credentials_fill_no_memory(server: ServerProcess, kind: str) -> None:
    evil = Key("ec2").sign(claims(Clock()() / 1e6))
    made = {
        "different keys": lambda number: key_of(f"stranger{number}"),
        "different tokens": lambda number: f"{evil[:-8]}{number:08d}",
        "the same token": lambda _: evil,
    }[kind]
    assert await _outcomes(server, map(bearing, map(made, range(1_000)))) == {"UNAUTHENTICATED"}
    before = server.memory()
    assert await _outcomes(server, map(bearing, map(made, range(MANY)))) == {"UNAUTHENTICATED"}
    assert server.memory() - before < GROWN_BYTES


@asynccontextmanager
async def _connections(
    address: str, count: int, said: bytes
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Open so many connections that say this and no more."""
    host, _, port = address.rpartition(":")
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(count)]
    for _, writer in opened:
        writer.write(said)
    yield [reader for reader, _ in opened]
    for _, writer in opened:
        writer.close()


def _hello() -> bytes:
    """Give the first words of a client's handshake."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def _close(readers: list[asyncio.StreamReader]) -> None:
    """Wait until the server has closed all these connections."""
    for reader in readers:
        while await _chunk(reader):
            pass


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except ConnectionError:
        return b""


HELLO = _hello()
FIRST_WORDS = {
    "nothing": b"",
    "half a handshake": HELLO[: len(HELLO) // 2],
    "a handshake without an end": HELLO,
    "plaintext": PREFACE,
    "a request of HTTP/1": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
}


@pytest.mark.seconds
@pytest.mark.parametrize("words", FIRST_WORDS)
async def test_handshakes_that_do_not_end_hold_nobody_up_and_are_ended(
    tmp_path: Path, words: str
) -> None:
    pki = Pki(tmp_path)
    with server_process(tmp_path / "data", *_callers(tmp_path), *pki.arguments) as server:
        async with _connections(server.address, 60, FIRST_WORDS[words]) as readers:
            await _serves(server.address, pki.credentials())
            async with asyncio.timeout(50):
                await _close(readers)
        await _serves(server.address, pki.credentials())
        assert await server.stops() == 0


@pytest.mark.seconds
async def test_whoever_ends_the_handshake_and_then_says_nothing_is_hung_up_on(
    tmp_path: Path,
) -> None:
    pki = Pki(tmp_path)
    with server_process(tmp_path / "data", *_callers(tmp_path), *pki.arguments) as server:
        command = ("openssl", "s_client", "-quiet", "-alpn", "h2", "-connect", server.address)
        pipe = asyncio.subprocess.PIPE
        silent = [
            await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
            for _ in range(8)
        ]
        await _serves(server.address, pki.credentials())
        async with asyncio.timeout(50):
            for each in silent:
                await each.wait()  # its end comes by the server's
        assert await server.stops() == 0


async def test_tls_at_a_port_without_it_is_hung_up_on(server: ServerProcess) -> None:
    async with _connections(server.address, 8, HELLO) as readers, asyncio.timeout(50):
        await _close(readers)


@pytest.mark.seconds
@pytest.mark.parametrize("files", [128, 1_024])
async def test_a_unix_socket_answers_when_the_port_is_full(tmp_path: Path, files: int) -> None:
    socket = f"unix:{tmp_path / 'orders.sock'}"
    limited = ("sh", "-c", f'ulimit -n {files}; exec "$0" "$@"')
    listen = ("--listen", "127.0.0.1:0", "--listen", socket)
    arguments = (*_callers(tmp_path), *listen, "--max-connections", "8")
    with server_process(tmp_path / "data", *arguments, prefix=limited) as server:
        async with _connections(server.address, 200, PREFACE):
            await _is_full(server.address)
            for _ in range(3):
                await _serves(socket)
        assert await server.stops() == 0


async def _is_full(address: str) -> None:
    """Wait until the port takes no more connections."""
    is_closed = False
    while not is_closed:
        async with peer(address) as late:
            stream = late.begin("/unknown", ends=True)
            is_closed = not (await late.answer(stream)).headers
