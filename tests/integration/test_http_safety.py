"""Attacks on the methods by HTTP: pages of other sites, slow and greedy senders, odd requests."""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from orderintake_server.config import watched
from orderintake_server.http import bodies, connections
from orderintake_server.http.bodies import BODY_BYTES
from orderintake_server.http.json.reading import MOST_OBJECTS
from support.callers import entry, key_of, write_access
from support.connect import (
    ADMIN,
    INTAKE,
    JSON,
    JSON_STREAM,
    PROTO,
    Answer,
    asked,
    envelope,
    envelopes,
    opened,
)
from support.http_listener import listening
from support.logs import capture_logs
from support.metrics import scrape

ORDER = {"customerId": "ada", "lines": [{"sku": "tea", "quantity": 1}]}
PLACE, STATS = f"{INTAKE}/PlaceOrder", f"{ADMIN}/GetQueueStats"
BATCH, STREAM = f"{INTAKE}/BatchPlaceOrders", f"{INTAKE}/StreamCompletions"
SHOP = "https://shop.example"


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with listening(tmp_path / "data") as found:
        yield found


async def placed(port: int) -> float:
    return (await scrape(port)).value("orders_accepted_total")


# Pages of other sites


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://localhost:{port}"}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Origin": "https://127.0.0.1:{port}"}, 200),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "file://"}, 403),
        ({"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "localhost:80", "Origin": "http://localhost"}, 200),
    ],
)
async def test_a_page_of_another_site_places_nothing(
    port: int, headers: dict[str, str], status: int
) -> None:
    said = {name: value.format(port=port) for name, value in headers.items()}
    answer = await asked(port, PLACE, ORDER, JSON | said)
    assert answer.status == status
    assert await placed(port) == (status == 200)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_a_page_of_another_site_reads_nothing_either(port: int) -> None:
    said = {"Origin": "http://evil.example"}
    read = await asked(port, f"{STATS}?encoding=json&message={{}}", None, said, method="GET")
    stream = await asked(port, STREAM, envelope(b"{}"), JSON_STREAM | said)
    assert [(each.status, each.body) for each in (read, stream)] == [(403, b""), (403, b"")]


async def test_a_form_places_nothing(port: int) -> None:
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        answer = await asked(port, PLACE, ORDER, {"Content-Type": kind})
        assert answer.status == 415
    assert await placed(port) == 0


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[int]:
    """A server that pages of SHOP may call."""
    async with listening(tmp_path / "data", http_origins=(SHOP,)) as found:
        yield found


async def test_a_listed_page_may_call_and_read(shared: int) -> None:
    said = {"Origin": SHOP, "Sec-Fetch-Site": "cross-site"}
    good = await asked(shared, PLACE, ORDER, JSON | said)
    bad = await asked(shared, PLACE, {}, JSON | said)
    other = await asked(shared, PLACE, ORDER, {"Content-Type": "text/plain"} | said)
    assert [each.status for each in (good, bad, other)] == [200, 400, 415]
    for answer in (good, bad, other):
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        assert "Origin" in answer.headers.get_all("Vary", [])
        assert "Access-Control-Allow-Credentials" not in answer.headers

    def first() -> str:
        with opened(shared, STREAM, envelope(b"{}"), JSON_STREAM | said) as response:
            next(envelopes(response))
            return str(response.headers["Access-Control-Allow-Origin"])

    assert await asyncio.to_thread(first) == SHOP


async def preflight(port: int, origin: str, path: str = PLACE) -> Answer:
    said = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return await asked(port, path, None, said, method="OPTIONS")


async def test_a_browser_is_told_whether_a_page_may_call(shared: int) -> None:
    told = await preflight(shared, SHOP)
    assert told.status == 204
    assert told.headers["Access-Control-Allow-Origin"] == SHOP
    assert "idempotency-key" in told.headers["Access-Control-Allow-Headers"]
    for origin in ("https://shop.example.evil", "https://evil.example", "null", SHOP.upper()):
        refused = await preflight(shared, origin)
        assert refused.status == 403
        assert "Access-Control-Allow-Origin" not in refused.headers


async def test_without_listed_origins_nobody_is_told_anything(port: int) -> None:
    refused = await preflight(port, SHOP)
    assert refused.status == 403
    assert "Vary" not in refused.headers


async def test_metrics_are_for_no_page(shared: int) -> None:
    answer = await asked(shared, "/metrics", None, {"Origin": SHOP}, method="GET")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_server_answers_to_the_names_that_it_was_given(tmp_path: Path) -> None:
    async with listening(tmp_path, http_hosts=("orders.example", "[2001:db8::1]")) as port:
        found = {
            host: (await asked(port, PLACE, ORDER, JSON | {"Host": host})).status
            for host in ("orders.example", "Orders.Example:443", "[2001:db8::1]:1", "localhost:9")
        }
        other = await asked(port, PLACE, ORDER, JSON | {"Host": "evil.example"})
    assert set(found.values()) == {200}
    assert other.status == 421


# Senders that are slow, or greedy, or leave


class Peer:
    """A connection that the test writes to as it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        """Read the head of the answer."""
        async with asyncio.timeout(30):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """Read until the server closes the connection."""
        async with asyncio.timeout(30):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Peer]:
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield peer
    finally:
        peer.writer.transport.abort()
        with suppress(ConnectionError):
            await peer.writer.wait_closed()


@asynccontextmanager
async def begun(port: int, *headers: str, path: str = PLACE) -> AsyncIterator[Peer]:
    """Send the head of a request."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    async with connected(port) as peer:
        peer.writer.write("\r\n".join([*lines, "\r\n"]).encode())
        yield peer


async def test_a_request_that_does_not_come_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.1)
    async with listening(tmp_path) as port, begun(port, "Content-Length: 100") as peer:
        peer.writer.write(b'{"customer')
        assert b" 503 " in await peer.head()
        assert b'"REQUEST_TOO_SLOW"' in await peer.rest()


@pytest.mark.parametrize("length", ["Content-Length: 4000000", "Transfer-Encoding: chunked"])
async def test_who_is_not_known_is_refused_before_its_request_is_there(
    tmp_path: Path, length: str
) -> None:
    access = write_access(tmp_path / "access.toml", [entry("shop", "customer", customer="ada")])
    key = f"Authorization: Bearer {key_of('stranger')}"
    async with (
        listening(tmp_path / "data", access=access) as port,
        begun(port, length, key) as peer,
    ):
        assert b" 401 " in await peer.head()


async def test_a_request_that_says_it_is_too_large_is_not_waited_for(port: int) -> None:
    async with begun(port, f"Content-Length: {BODY_BYTES + 1}") as peer:
        assert b" 429 " in await peer.head()


async def test_a_request_without_a_length_is_cut_off_where_it_is_too_large(port: int) -> None:
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    async with begun(port, "Transfer-Encoding: chunked") as peer:
        peer.writer.write(chunk * (BODY_BYTES // 65_536 + 1))
        assert b" 429 " in await peer.head()
        peer.writer.write(chunk * 100)
        await peer.rest()
    assert (await asked(port, STATS, {})).status == 200


async def test_a_sender_that_leaves_is_no_error(port: int) -> None:
    with capture_logs() as logged:
        async with begun(port, "Content-Length: 100") as peer:
            peer.writer.write(b"{")
            await peer.writer.drain()
        async with asyncio.timeout(30):
            while not (await scrape(port)).value("rpc_calls_total", code="CANCELLED"):
                pass
    assert not [each for each in logged if each["log_level"] in {"warning", "error"}]


@pytest.mark.parametrize("chunk", [b"xx\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"])
async def test_damaged_chunks_are_refused(port: int, chunk: bytes) -> None:
    async with begun(port, "Transfer-Encoding: chunked") as peer:
        peer.writer.write(chunk)
        assert b" 400 " in await peer.head()


# Smuggling: what two servers in a row could read in two ways

HEAD = f"POST {PLACE} HTTP/1.1\r\n"
KIND = "Content-Type: application/json\r\n"
TEXT = json.dumps(ORDER)
LENGTH = f"Content-Length: {len(TEXT)}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
HOST = "Host: localhost\r\n"
SMUGGLED = {
    "two lengths": f"{HEAD}{HOST}{KIND}{LENGTH}Content-Length: 1\r\n\r\n{TEXT}",
    "two equal lengths": f"{HEAD}{HOST}{KIND}{LENGTH}{LENGTH}\r\n{TEXT}",
    "a length and chunks": f"{HEAD}{HOST}{KIND}{LENGTH}{CHUNKED}\r\n0\r\n\r\n",
    "odd chunks": f"{HEAD}{HOST}{KIND}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a length with a sign": f"{HEAD}{HOST}{KIND}Content-Length: +2\r\n\r\n{{}}",
    "bare LF": f"{HEAD}Host: localhost\n{KIND}{LENGTH}\r\n{TEXT}",
    "a space before the colon": f"{HEAD}{HOST}{KIND}Content-Length : 2\r\n\r\n{{}}",
    "a folded line": f"{HEAD}{HOST}{KIND}X: a\r\n b\r\n{LENGTH}\r\n{TEXT}",
    "no host": f"{HEAD}{KIND}{LENGTH}\r\n{TEXT}",
    "two hosts": f"{HEAD}{HOST}{HOST}{KIND}{LENGTH}\r\n{TEXT}",
}


@pytest.mark.parametrize("request_text", SMUGGLED.values(), ids=SMUGGLED)
async def test_what_could_be_read_in_two_ways_is_refused(port: int, request_text: str) -> None:
    async with connected(port) as peer:
        peer.writer.write(request_text.encode())
        assert re.match(rb"HTTP/1.[01] 4(00|21) ", await peer.head())
    assert await placed(port) == 0


async def test_a_target_with_another_host_is_served_by_the_host_header(port: int) -> None:
    target = f"POST http://evil.example{PLACE} HTTP/1.1\r\n"
    async with connected(port) as peer:
        peer.writer.write(f"{target}Host: evil.example\r\n{KIND}{LENGTH}\r\n{TEXT}".encode())
        assert b" 421 " in await peer.head()


# What takes long


@asynccontextmanager
async def lag() -> AsyncIterator[list[float]]:
    """Give how late the event loop was each time while inside, in seconds."""
    late = [0.0]

    async def look() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - began - 0.005)

    looking = asyncio.create_task(look())
    try:
        yield late
    finally:
        looking.cancel()


@pytest.mark.seconds
async def test_hostile_json_does_not_stop_the_event_loop(port: int) -> None:
    struct = '{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"a":[%s{}]}}'
    hostile = [
        "{}," * (4 * 1024 * 1024 // 3 - 100),
        "[" * 4_000_000,
        f'{{"requests":[{{"payload":{struct % ("{}," * (MOST_OBJECTS - 10))}}}]}}',
    ]
    worst = []
    for _ in range(3):  # others on this machine may hold us up now and then, the texts always
        async with lag() as late:
            answers = [await asked(port, BATCH, each.encode()) for each in hostile]
        assert {each.status for each in answers} == {400}
        worst.append(max(late))
    assert min(worst) < 0.1


# Streams


def frozen(port: int) -> socket.socket:
    """Begin a stream, and read nothing of it."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", port))
    body = envelope(b"{}")
    reader.sendall(
        f"POST {STREAM} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: application/connect+json\r\n\r\n".encode()
        + body
    )
    return reader


async def until_subscribers(port: int, count: int) -> None:
    async with asyncio.timeout(30):
        while (await asked(port, STATS, {})).json.get("subscribers", 0) != count:
            pass


def large(count: int) -> dict[str, Any]:
    return {"requests": [ORDER | {"labels": {"a": "x" * 256, "b": "y" * 256}}] * count}


@pytest.mark.seconds
async def test_p15_a_frozen_reader_is_let_go_and_another_gets_everything(tmp_path: Path) -> None:
    settings = {"workers": 4, "subscriber_timeout": 0.5}

    def read(port: int) -> int:
        found = 0
        with opened(port, STREAM, envelope(b"{}"), JSON_STREAM) as response:
            for _, message in envelopes(response):
                found += len(json.loads(message).get("completions", ()))
                if found == 1_000:
                    return found
        return found

    async with listening(tmp_path, **settings) as port:
        with frozen(port):
            await until_subscribers(port, 1)
            reading = asyncio.create_task(asyncio.to_thread(read, port))
            assert (await asked(port, BATCH, large(1_000))).status == 200
            assert await reading == 1_000
            await until_subscribers(port, 0)
        ends = await scrape(port)
    assert ends.value("stream_ends_total", reason="too_slow") == 1
    assert ends.value("stream_ends_total", reason="client") == 1


@pytest.mark.seconds
async def test_p19_neither_idle_connections_nor_frozen_readers_hold_up_a_stop(
    tmp_path: Path,
) -> None:
    with ExitStack() as until_stopped:
        async with listening(tmp_path, workers=4) as port, connected(port):
            until_stopped.enter_context(frozen(port))
            await until_subscribers(port, 1)
            await asked(port, BATCH, large(1_000))
            async with asyncio.timeout(30):
                while (await scrape(port)).value("orders_completed_total") < 1_000:
                    pass
            began = time.perf_counter()
        took = time.perf_counter() - began
    assert took < 5, took


@pytest.mark.seconds
async def test_the_end_of_a_callers_right_ends_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LOOK_SECONDS", 0.01)
    access = tmp_path / "access.toml"
    entries = [entry("reader", "subscriber"), entry("other", "subscriber")]
    headers = JSON_STREAM | {"Authorization": f"Bearer {key_of('reader')}"}
    body = envelope(b'{"heartbeatInterval": "1s"}')

    def read(port: int) -> Any:  # noqa: ANN401 - what the end says
        with opened(port, STREAM, body, headers) as response:
            found = envelopes(response)
            next(found)
            write_access(access, entries[1:])
            return next(json.loads(message) for flags, message in found if flags)

    write_access(access, entries)
    async with listening(tmp_path / "data", access=access) as port:
        end = await asyncio.to_thread(read, port)
    assert end["error"]["code"] == "unauthenticated"
    assert end["error"]["details"][0]["debug"]["metadata"] == {"problem": "EXPIRED"}


async def test_binary_content_is_no_way_around_the_limits(port: int) -> None:
    answer = await asked(port, PLACE, b"\x0a" + b"\xff" * 70_000, PROTO)
    assert (answer.status, answer.json["code"]) == (400, "invalid_argument")
