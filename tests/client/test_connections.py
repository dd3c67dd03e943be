"""A client with more streams than a connection has opens further ones, and gives them back."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest

from orderintake import AsyncClient, Client, channel
from orderintake.connections import STREAMS, Connections
from support.in_process import listening

MANY = 300


def made(most: int) -> tuple[Connections[int, str], list[int]]:
    """Give connections that are numbers, and those that were opened."""
    opened: list[int] = []
    numbers: Iterator[int] = count(1)

    def connect() -> int:
        opened.append(next(numbers))
        return opened[-1]

    return Connections(0, connect, most=most), opened


def test_a_connection_is_filled_before_another_is_opened() -> None:
    connections, opened = made(most=2)
    assert [connections.join(name) for name in "abcde"] == [0, 0, 1, 1, 2]
    assert opened == [1, 2]
    assert sorted(connections.streams()) == list("abcde")


def test_the_place_of_a_stream_that_left_is_taken_again() -> None:
    connections, opened = made(most=2)
    for name in "abcde":
        connections.join(name)
    connections.leave("b")
    connections.leave("b")
    connections.leave("never came")
    assert connections.join("f") == 0
    assert connections.join("g") == 2
    assert opened == [1, 2]


def test_each_channel_has_a_connection_of_its_own() -> None:
    assert dict(channel.options("a:1"))["grpc.use_local_subchannel_pool"] == 1
    assert dict(channel.further_options("a:1"))["grpc.use_local_subchannel_pool"] == 1


@pytest.mark.seconds
async def test_any_number_of_subscriptions_stand_and_calls_are_answered_beside_them(
    tmp_path: Path,
) -> None:
    async with (
        listening(tmp_path) as (address, _),
        AsyncClient(address) as client,
        AsyncExitStack() as streams,
    ):
        subscriptions = (client.completions(from_latest=True) for _ in range(MANY))
        await asyncio.gather(*map(streams.enter_async_context, subscriptions))
        assert (await client.queue_stats()).subscribers == MANY
        receipts = (client.place(customer_id="ada", lines={"tea": 1}) for _ in range(100))
        await asyncio.gather(*receipts)


@pytest.mark.seconds
async def test_the_client_for_threads_has_any_number_too(tmp_path: Path) -> None:
    async with listening(tmp_path) as (address, _):
        assert await asyncio.to_thread(_subscribers, address) == MANY


def _subscribers(address: str) -> int:
    with Client(address) as client, ExitStack() as streams:
        for _ in range(MANY):
            streams.enter_context(client.completions(from_latest=True))
        return client.queue_stats().subscribers


async def test_two_clients_do_not_share_a_connection(tmp_path: Path) -> None:
    most = STREAMS + 8
    async with listening(tmp_path, max_streams=most) as (address, _), AsyncExitStack() as opened:
        for _ in range(2):
            client = await opened.enter_async_context(AsyncClient(address))
            for _ in range(STREAMS):
                await opened.enter_async_context(client.completions(from_latest=True))
            await client.queue_stats()


@pytest.mark.seconds
async def test_a_connection_without_streams_is_given_back_and_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = _noted(monkeypatch)
    monkeypatch.setattr(channel, "GIVEN_BACK_MS", 1_000)
    async with (
        listening(tmp_path) as (address, _),
        AsyncClient(address) as client,
        AsyncExitStack() as streams,
    ):
        before = len(channels)
        for _ in range(STREAMS):
            await streams.enter_async_context(client.completions(from_latest=True))
        async with client.completions(from_latest=True):
            (further,) = channels[before:]
        await _idle(further)
        async with client.completions(from_latest=True):
            assert channels[before:] == [further]


def _noted(monkeypatch: pytest.MonkeyPatch) -> list[grpc.aio.Channel]:
    """Give the channels that are opened from now on."""
    channels: list[grpc.aio.Channel] = []
    connect = grpc.aio.insecure_channel

    def noted(*arguments: Any) -> grpc.aio.Channel:  # noqa: ANN401 - whatever grpc takes
        channels.append(connect(*arguments))
        return channels[-1]

    monkeypatch.setattr(grpc.aio, "insecure_channel", noted)
    return channels


async def _idle(further: grpc.aio.Channel) -> None:
    while (state := further.get_state()) is not grpc.ChannelConnectivity.IDLE:
        await further.wait_for_state_change(state)
