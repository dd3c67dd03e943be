"""Clients of many replicas: calls go to those that are healthy, streams to any of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGTERM
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from orderintake import AsyncClient, AsyncCompletions, Client, Unavailable
from orderintake_server.store.postgres import schema as postgres_schema
from support.postgres import Cluster, binaries, cluster
from support.process import ServerProcess
from support.proxy import Proxy, proxy

Status = health_pb2.HealthCheckResponse
SERVICE = "orderintake.v1.OrderIntakeService"


@pytest.fixture
def database() -> Iterator[Cluster]:
    """A PostgreSQL of the test's own, which it may stop."""
    with cluster(binaries()[0]) as running:
        yield running


@pytest.fixture
async def servers(database: Cluster, tmp_path: Path) -> AsyncIterator[list[ServerProcess]]:
    """Three replicas."""
    await postgres_schema.migrate(database.url())
    async with AsyncExitStack() as stack:
        replicas = [
            ServerProcess(tmp_path, "--store", database.url(), "--lease", "2") for _ in range(3)
        ]
        for replica in replicas:
            stack.callback(replica.kill)
            assert await asyncio.to_thread(getattr, replica, "address")
        yield replicas


@pytest.fixture
async def ways(servers: list[ServerProcess]) -> AsyncIterator[list[Proxy]]:
    """A proxy before each, which counts what comes back."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(proxy(server.address)) for server in servers]


def together(ways: list[Proxy]) -> str:
    """Name all of them as one target."""
    return "ipv4:" + ",".join(way.address for way in ways)


async def place(client: AsyncClient, count: int) -> None:
    for _ in range(count):
        await client.place(customer_id="ada", lines={"tea": 1})


async def read(completions: AsyncCompletions, count: int) -> list[int]:
    return [(await anext(completions)).sequence for _ in range(count)]


async def told(server: ServerProcess, status: int) -> None:
    """Wait until the server's health is as it should be."""
    async with grpc.aio.insecure_channel(server.address) as channel, asyncio.timeout(20):
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(request)
        while (await watch.read()).status != status:
            pass
        watch.cancel()


async def everybody_answers(client: AsyncClient, ways: list[Proxy]) -> None:
    """Place orders until each replica has answered something."""
    before = [way.sent_back for way in ways]
    async with asyncio.timeout(20):
        while any(way.sent_back <= was for way, was in zip(ways, before, strict=True)):
            await place(client, 1)


@pytest.mark.seconds
async def test_calls_go_to_all_replicas_in_turn(ways: list[Proxy]) -> None:
    async with AsyncClient(together(ways)) as client:
        await place(client, 1)
        await everybody_answers(client, ways)


@pytest.mark.seconds
async def test_a_replica_that_stops_is_not_noticed(
    servers: list[ServerProcess], ways: list[Proxy]
) -> None:
    async with (
        AsyncClient(together(ways)) as client,
        client.completions() as completions,
    ):
        await place(client, 10)
        found = await read(completions, 5)
        for server in servers[:2]:
            placing = asyncio.create_task(place(client, 20))
            assert await server.stops(SIGTERM) == 0
            await placing
        assert found + await read(completions, 45) == list(range(1, 51))


@pytest.mark.seconds
async def test_a_database_that_is_away_is_told_by_health_and_come_back_from(
    database: Cluster, servers: list[ServerProcess], ways: list[Proxy]
) -> None:
    async with (
        AsyncClient(together(ways)) as client,
        client.completions() as completions,
    ):
        await place(client, 3)
        assert await read(completions, 3) == [1, 2, 3]
        await asyncio.to_thread(database.stop)
        for server in servers:
            async with AsyncClient(server.address, timeout=20) as direct:
                with pytest.raises(Unavailable):
                    await place(direct, 1)
        await asyncio.gather(*(told(server, Status.NOT_SERVING) for server in servers))
        await asyncio.to_thread(database.start)
        await asyncio.gather(*(told(server, Status.SERVING) for server in servers))
        await place(client, 3)
        assert await read(completions, 3) == [4, 5, 6]


@pytest.mark.seconds
async def test_the_other_client_shares_its_calls_too(ways: list[Proxy]) -> None:
    def place_some() -> None:
        with Client(together(ways)) as client:
            for _ in range(60):
                client.place(customer_id="ada", lines={"tea": 1})

    await asyncio.to_thread(place_some)
    assert all(way.sent_back for way in ways)
