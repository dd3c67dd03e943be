"""What one connection may do at the port: each of gRPC's options is there by its effect."""

import asyncio
from pathlib import Path

import grpc
import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.rpc import server as rpc_server
from support.hostile_peer import peer
from support.in_process import Stub, listening
from support.orders import order

STREAMS = 128
MOST_SECONDS = 20


def quickly(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """Let one of the options count for a fraction of a second."""
    assert option in dict(rpc_server.OPTIONS)
    options = {**dict(rpc_server.OPTIONS), option: 200}
    monkeypatch.setattr(rpc_server, "OPTIONS", tuple(options.items()))


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


async def test_a_connection_without_a_call_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly(monkeypatch, "grpc.max_connection_idle_ms")
    async with (
        listening(tmp_path) as (address, _),
        asyncio.timeout(MOST_SECONDS),
        peer(address) as idle,
    ):
        await idle.is_closed.wait()


async def test_a_connection_has_so_many_calls_at_once(tmp_path: Path) -> None:
    async with listening(tmp_path) as (address, stub), asyncio.timeout(MOST_SECONDS):
        streams = [stub.StreamCompletions(api.StreamCompletionsRequest()) for _ in range(STREAMS)]
        for stream in streams:
            await stream.read()
        waits = asyncio.ensure_future(stub.PlaceOrder(order()))
        async with grpc.aio.insecure_channel(
            address, [("grpc.use_local_subchannel_pool", 1)]
        ) as another:
            await Stub(another).PlaceOrder(order())
        assert not waits.done()
        streams[0].cancel()
        await waits


@pytest.mark.seconds
@pytest.mark.parametrize("in_flight", [1_000, 3_000])
async def test_a_burst_of_well_behaved_calls_is_served_whole(
    tmp_path: Path, in_flight: int
) -> None:
    async with listening(tmp_path, workers=0) as (_, stub):
        for _ in range(3):
            calls = (stub.PlaceOrder(order(), timeout=60) for _ in range(in_flight))
            await asyncio.gather(*calls)
