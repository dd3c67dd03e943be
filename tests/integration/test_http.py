"""The HTTP listener: who may read what, and what bad requests get."""

import asyncio
import re
import select
import socket
from pathlib import Path

import pytest

from orderintake_server.access import Role
from orderintake_server.access.exposure import is_loopback
from orderintake_server.errors import StartupFailed
from orderintake_server.http import app, connections
from orderintake_server.http.monitoring import exposition
from support.callers import entry, key_of, write_access
from support.http_listener import listening
from support.logs import capture_logs
from support.metrics import Page, get, page, scrape

ELSEWHERE = {"X-Forwarded-For": "192.0.2.1"}
"""A proxy on this machine says by it that somebody on another asks."""


@pytest.fixture
def access(tmp_path: Path) -> Path:
    """A file in which there is one caller for each role, of its name."""
    entries = [
        entry(role.value, role.value, customer="ada" if role is Role.CUSTOMER else None)
        for role in Role
    ]
    return write_access(tmp_path / "access.toml", entries)


async def test_health_and_readiness_are_told(tmp_path: Path) -> None:
    async with listening(tmp_path) as port:
        alive, ready = await get(port, "/healthz"), await get(port, "/readyz")
    assert (alive.status, alive.text) == (200, '{"alive": true}')
    assert (ready.status, ready.text) == (200, '{"ready": true, "reasons": []}')


async def test_answers_say_nothing_of_what_the_server_is_made_of(tmp_path: Path) -> None:
    async with listening(tmp_path) as port:
        answers = [
            await get(port, "/metrics"),
            await get(port, "/nothing"),
            await asyncio.to_thread(page, port, "/metrics", method="POST"),
            await get(port, "/metrics", Host="shop.example"),
        ]
    assert [answer.status for answer in answers] == [200, 404, 405, 421]
    for answer in answers:
        assert answer.headers["Server"] == "orderintake"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "aiohttp" not in str(answer.headers)


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (None, 401),
        ("stranger", 401),
        *((role.value, 200 if role.value in {"operator", "observer"} else 403) for role in Role),
    ],
)
async def test_metrics_are_for_this_machine_and_for_who_may_see_everything(
    tmp_path: Path, access: Path, token: str | None, status: int
) -> None:
    said = {} if token is None else {"Authorization": f"Bearer {key_of(token)}"}
    async with listening(tmp_path / "data", access=access) as port:
        answer = await get(port, "/metrics", **ELSEWHERE, **said)
        health = await get(port, "/readyz", **ELSEWHERE)
        own = await scrape(port)
    assert answer.status == status
    assert (answer.headers.get("WWW-Authenticate") == "Bearer") is (status == 401)
    assert health.status == 200
    assert own.value("authentication_failures_total") == (1 if status == 401 else 0)


async def test_a_page_whose_name_leads_here_gets_nothing(tmp_path: Path) -> None:
    async with listening(tmp_path) as port:
        named = {host: (await get(port, Host=host)).status for host in ("evil.example", "")}
        named |= {host: (await get(port, Host=host)).status for host in ("localhost:1", "[::1]")}
    assert named == {"evil.example": 421, "": 421, "localhost:1": 200, "[::1]": 200}


@pytest.mark.parametrize("address", ["0.0.0.0:0", "*:0"])
async def test_other_machines_reach_it_only_where_an_operator_accepts_it(
    tmp_path: Path, access: Path, address: str
) -> None:
    for known in ({}, {"access": access}):
        with pytest.raises(StartupFailed, match="other machines reach it"):
            async with listening(tmp_path / "data", http=address, **known):
                pass


async def test_where_an_operator_accepts_it_it_may_listen_anywhere(
    tmp_path: Path, access: Path
) -> None:
    chosen = {"http": "0.0.0.0:0", "access": access, "insecure": True}
    async with listening(tmp_path / "data", **chosen) as port:
        assert (await get(port, "/readyz", Host="shop.example")).status == 200
        assert (await get(port, "/metrics", Host="shop.example")).status == 401
        assert (await get(port, "/metrics")).status == 200


async def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartupFailed, match=rf"cannot listen on {address} \(--http\)"):
            async with listening(tmp_path, http=address):
                pass


@pytest.mark.parametrize(
    ("address", "is_own"),
    [
        *(("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("::ffff:127.0.0.1", True)),
        *(
            ("192.0.2.1", False),
            ("0.0.0.0", False),  # noqa: S104 - a text only
            ("::", False),
            ("fe80::1%eth0", False),
        ),
    ],
)
def test_addresses_of_this_machine_are_known(address: str, *, is_own: bool) -> None:
    assert is_loopback(address) is is_own


# Bad use


async def sent(port: int, *parts: bytes) -> bytes:
    """Send bytes on a connection of their own; give all that comes back until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
        async with asyncio.timeout(30):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


HOST = b"Host: localhost\r\n"
GET = b"GET /readyz HTTP/1.1\r\n" + HOST


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\xff\x16\x03\x01" * 50 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        GET + b"Transfer-Encoding: xchunked\r\n\r\n",
        GET + b"Content-Length: +2\r\n\r\n",
        GET + b"A : b\r\n\r\n",
        GET + b"A: " + b"x" * 20_000 + b"\r\n\r\n",
        GET + b"A: b\r\n" * 1_000 + b"\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
    ids=range(10),
)
async def test_what_is_no_request_gets_a_bare_400(tmp_path: Path, request_bytes: bytes) -> None:
    async with listening(tmp_path) as port:
        answer = await sent(port, request_bytes)
        assert (await get(port, "/healthz")).status == 200
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    assert body == b""
    assert b"Server: orderintake" in head


async def test_a_peer_that_sends_without_end_is_cut_off(tmp_path: Path) -> None:
    post = b"POST /metrics HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000\r\n\r\n"
    async with listening(tmp_path) as port:
        await sent(port, post, b"x" * (2 * connections.REQUEST_BYTES))
        assert (await get(port, "/healthz")).status == 200


async def test_requests_sent_ahead_are_answered_in_their_order(tmp_path: Path) -> None:
    ahead = [b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n", GET + b"\r\n"] * 200
    async with listening(tmp_path) as port:
        answers = await sent(port, *ahead, GET + b"Connection: close\r\n\r\n")
    assert re.findall(rb'"(alive|ready)"', answers) == [b"alive", b"ready"] * 200 + [b"ready"]


@pytest.mark.parametrize("said", [b"", b"GET /healthz HT", GET + b"A: b"])
async def test_a_peer_that_does_not_finish_its_request_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.1)
    async with listening(tmp_path) as port:
        assert await sent(port, said) == b""


async def test_there_are_no_more_connections_than_may_be(tmp_path: Path) -> None:
    async with listening(tmp_path, http_connections=8) as port:
        kept = [await _answered(port) for _ in range(8)]
        assert await sent(port, GET + b"\r\n") == b""
        kept.pop().close()
        async with asyncio.timeout(30):
            while not await sent(port, GET + b"Connection: close\r\n\r\n"):
                pass
        for writer in kept:
            writer.close()


async def _answered(port: int) -> asyncio.StreamWriter:
    """Open a connection that is kept after its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET + b"\r\n")
    assert b" 200 " in await reader.readline()
    return writer


async def test_a_peer_that_does_not_take_its_answer_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "WRITE_SECONDS", 0.1)
    monkeypatch.setattr(exposition, "_written", lambda *_: (bytes(100_000_000), "text/plain"))
    async with listening(tmp_path) as port:
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n")
            closed = select.poll()
            closed.register(peer, 0)
            assert await asyncio.to_thread(closed.poll, 30_000)
        assert (await get(port, "/healthz")).status == 200


async def test_a_peer_that_leaves_in_the_middle_of_its_answer_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposition, "_written", lambda *_: (bytes(100_000_000), "text/plain"))
    with capture_logs() as logged:
        async with listening(tmp_path) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n")
            await reader.readexactly(1_000_000)
            writer.transport.abort()
            assert (await get(port, "/healthz")).status == 200
    assert not [entry for entry in logged if entry["log_level"] == "error"]


async def test_a_bug_is_told_by_its_status_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(exposition, "_written", broken)
    async with listening(tmp_path) as port:
        answer: Page = await get(port)
    assert (answer.status, answer.text) == (500, "")
    assert answer.headers["Server"] == "orderintake"
