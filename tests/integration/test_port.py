"""What one connection may do at the port: each of gRPC's options is there by its effect."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from orderintake.status import status_of
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.config import Settings
from orderintake_server.errors import StartupFailed
from orderintake_server.handlers import Shop, simulate
from orderintake_server.rpc import server as rpc_server
from orderintake_server.service import running
from support.hostile_peer import peer
from support.in_process import Stream, Stub, listening
from support.orders import order

STREAMS = 64
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
MOST_SECONDS = 20


def quickly(monkeypatch: pytest.MonkeyPatch, option: str, *, milliseconds: int = 200) -> None:
    """Let one of the options count for so long."""
    assert option in dict(rpc_server.OPTIONS)
    options = {**dict(rpc_server.OPTIONS), option: milliseconds}
    monkeypatch.setattr(rpc_server, "OPTIONS", tuple(options.items()))


EFFECTS = {
    "grpc.so_reuseport": "test_no_second_server_shares_the_port",
    "grpc.http2.min_ping_interval_without_data_ms": "test_who_pings_often_is_not_hung_up_on",
    "grpc.http2.max_pings_without_data": "e2e/test_liveness.py",
    "grpc.keepalive_time_ms": "e2e/test_liveness.py",
    "grpc.http2.ping_timeout_ms": "e2e/test_liveness.py",
    "grpc.keepalive_permit_without_calls": "test_who_pings_often_is_not_hung_up_on",
    "grpc.server.max_pending_requests": "test_a_burst_of_well_behaved_calls_is_served_whole",
    "grpc.server.max_pending_requests_hard_limit": "the same",
    "grpc.max_metadata_size": "test_headers_are_taken_or_refused_by_their_size_alone",
    "grpc.absolute_max_metadata_size": "the same",
    "grpc.server_handshake_timeout_ms": "test_a_peer_that_says_nothing_is_hung_up_on",
}
"""gRPC ignores an option that it does not know without a word, so each is here for its effect."""


def test_each_option_is_there_for_an_effect_that_is_tested() -> None:
    assert set(dict(rpc_server.OPTIONS)) == set(EFFECTS)


@pytest.mark.seconds
@pytest.mark.parametrize(("interval", "is_closed"), [(100, False), (300_000, True)])
async def test_who_pings_often_is_not_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: int, *, is_closed: bool
) -> None:
    option = "grpc.http2.min_ping_interval_without_data_ms"
    quickly(monkeypatch, option, milliseconds=interval)
    async with (
        listening(tmp_path) as (address, _),
        asyncio.timeout(MOST_SECONDS),
        peer(address) as often,
    ):
        for _ in range(6):
            await often.ping()
            await asyncio.sleep(0.2)  # its pace is what counts
        assert often.is_closed.is_set() == is_closed


async def test_no_second_server_shares_the_port(tmp_path: Path) -> None:
    async with listening(tmp_path / "first") as (address, _):
        settings = Settings(listen=(address,), data=tmp_path / "second")
        with pytest.raises(StartupFailed, match="already in use"):
            async with running(settings, shop=Shop(handler=simulate)):
                pass


async def test_a_peer_that_says_nothing_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly(monkeypatch, "grpc.server_handshake_timeout_ms")
    async with listening(tmp_path) as (address, _), asyncio.timeout(MOST_SECONDS):
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        while await reader.read(1_024):  # the server's first word, then the end
            pass
        writer.close()


async def test_a_connection_without_a_call_is_closed(tmp_path: Path) -> None:
    async with (
        listening(tmp_path, idle_timeout=0.2) as (address, _),
        asyncio.timeout(MOST_SECONDS),
        peer(address) as idle,
    ):
        await idle.is_closed.wait()


async def test_without_an_idle_timeout_no_connection_is_closed(tmp_path: Path) -> None:
    """One that counts in gRPC as 0 would be closed at once, as one of a millisecond is."""
    async with (
        listening(tmp_path / "never", idle_timeout=0) as (never, _),
        listening(tmp_path / "soon", idle_timeout=0.2) as (soon, _),
        asyncio.timeout(MOST_SECONDS),
        peer(never) as idle,
        peer(soon) as closed,
    ):
        await closed.is_closed.wait()
        await idle.answer(idle.begin("/unknown", ends=True))
        assert not idle.is_closed.is_set()


async def _fill(stub: Stub, count: int) -> list[Stream]:
    """Open so many streams, each of which has begun."""
    streams = [stub.StreamCompletions(api.StreamCompletionsRequest()) for _ in range(count)]
    for stream in streams:
        await stream.read()
    return streams


@pytest.mark.parametrize("settings", [{}, {"max_streams": 9}])
async def test_a_connection_has_so_many_calls_at_once(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    most = settings.get("max_streams", STREAMS)
    async with (
        listening(tmp_path, **settings) as (address, stub),
        asyncio.timeout(MOST_SECONDS),
        grpc.aio.insecure_channel(address, OWN_CONNECTION) as another,
    ):
        streams = await _fill(stub, most)
        waits = asyncio.ensure_future(stub.PlaceOrder(order()))
        await Stub(another).PlaceOrder(order())
        assert not waits.done()
        streams[0].cancel()
        await waits


@pytest.mark.parametrize("streams", [8, 64])
def test_both_options_that_bound_calls_are_the_same(streams: int) -> None:
    """With the second alone below the first, bursts of well-behaved callers fail."""
    assert set(dict(rpc_server.stream_options(streams)).values()) == {streams}


async def test_there_are_so_many_connections(tmp_path: Path) -> None:
    async with (
        listening(tmp_path, max_connections=2) as (address, stub),
        asyncio.timeout(MOST_SECONDS),
    ):
        await stub.PlaceOrder(order())
        async with peer(address) as second:
            second_call = second.begin("/unknown", ends=True)
            await second.answer(second_call)
            async with peer(address) as third:
                await third.is_closed.wait()
            assert not second.is_closed.is_set()
        await stub.PlaceOrder(order())


async def test_there_are_so_many_completion_streams(tmp_path: Path) -> None:
    async with listening(tmp_path, subscriber_limit=3) as (_, stub), asyncio.timeout(MOST_SECONDS):
        streams = await _fill(stub, 3)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.StreamCompletions(api.StreamCompletionsRequest()).read()
        status = status_of(refused.value)
        assert (status.code, status.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "TOO_MANY_STREAMS",
        )
        assert status.retry_after
        await stub.PlaceOrder(order())
        streams[0].cancel()
        await _until_there_is_room(stub)


async def _until_there_is_room(stub: Stub) -> None:
    """Try until the server has noticed that a stream ended."""
    while True:
        try:
            await stub.StreamCompletions(api.StreamCompletionsRequest()).read()
        except grpc.aio.AioRpcError as error:
            if status_of(error).reason != "TOO_MANY_STREAMS":
                raise
        else:
            return


@pytest.mark.seconds
@pytest.mark.parametrize(("size", "is_taken"), [(7_000, True), (8_500, False)])
async def test_headers_are_taken_or_refused_by_their_size_alone(
    tmp_path: Path, size: int, *, is_taken: bool
) -> None:
    async with listening(tmp_path) as (_, stub), asyncio.timeout(MOST_SECONDS):
        for _ in range(40):
            call = stub.PlaceOrder(order(), metadata=(("x-token", "a" * size),))
            assert (await call.code() is grpc.StatusCode.OK) == is_taken


@pytest.mark.seconds
@pytest.mark.parametrize("in_flight", [1_000, 3_000])
async def test_a_burst_of_well_behaved_calls_is_served_whole(
    tmp_path: Path, in_flight: int
) -> None:
    async with listening(tmp_path, workers=0) as (_, stub):
        for _ in range(3):
            calls = (stub.PlaceOrder(order(), timeout=60) for _ in range(in_flight))
            await asyncio.gather(*calls)
