"""What subscribers cost: ten thousand that are idle, one that is slow, and one that is frozen.

The idle ones are told beside those of a bare stream. The slow ones are let loose on a server that
completes orders at a steady rate, and told beside the same without them.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

import grpc
import load
from following import Followers, Parts
from google.protobuf.duration_pb2 import Duration
from servers import Server
from turns import Bare, Case, Part, Turn

from orderintake.v1 import order_intake_service_pb2 as api
from parts.streams import PER_SECOND, WORKING, asked, hear, late

IDLE, ORDERS = 10_000, 30_000
SLOW_BATCH = 10
"""Completions in a message of the slow reader, which takes one message a second."""


def request(**fields: Any) -> bytes:  # noqa: ANN401 - of the contract
    """Encode a subscription that is seldom sent heartbeats."""
    request = api.StreamCompletionsRequest(heartbeat_interval=Duration(seconds=60), **fields)
    return request.SerializeToString()


def idle(server: Server, count: int, *, subscription: bytes) -> Turn:
    """Tell how much memory each of so many idle subscribers costs."""
    return {"kib_each": load.run(_idle(server, count, subscription))}


async def _idle(server: Server, count: int, subscription: bytes) -> float:
    warm = Followers(server.port, 100, subscription)
    await warm.started()
    before = server.memory()
    followers = Followers(server.port, count, subscription)
    await followers.started()
    after = server.memory()
    await followers.close()
    await warm.close()
    return (after - before) / count / 1024


def heard(server: Server, orders: int, *, with_slow: bool) -> Turn:
    """Let orders complete at a steady rate; one subscriber measures, two more are slow if asked."""
    return load.run(_heard(server, orders, with_slow=with_slow))


async def _heard(server: Server, orders: int, *, with_slow: bool) -> Turn:
    await hear(server.port, server.port, PER_SECOND)  # it grows at first, with or without
    before = server.memory()
    slow = _Slow(server.port) if with_slow else None
    turn = late(await hear(server.port, server.port, orders))
    grown = (server.memory() - before) / 2**20
    got = await slow.rest(orders + PER_SECOND) if slow else 0
    return turn | {"grown_mib": grown, "slow_got": got}


class _Slow:
    """One subscriber that reads ten completions a second, and one that reads none."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cursor = ""
        self._slow = Followers(port, 1, request(max_batch_size=SLOW_BATCH))
        self._frozen = Followers(port, 1, request())
        self._is_let_loose = asyncio.Event()
        self._got = 0
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while not self._is_let_loose.is_set():
            await self._message()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._is_let_loose.wait()

    async def _message(self) -> None:
        """Read one; ended for being too slow, come back with the cursor, as clients do."""
        try:
            message = Parts.FromString(await self._slow.calls[0].read())
        except grpc.aio.AioRpcError as ended:
            if ended.code() is not grpc.StatusCode.ABORTED:
                raise
            await self._slow.close()
            subscription = request(max_batch_size=SLOW_BATCH, after_cursor=self._cursor)
            self._slow = Followers(self._port, 1, subscription)
            return
        self._cursor = message.cursor
        self._got += len(message.completions)

    async def rest(self, events: int) -> int:
        """Let the slow one read freely until it has so many; tell how many it got in all."""
        self._is_let_loose.set()
        await self._reading
        while self._got < events:
            await self._message()
        for followers in (self._slow, self._frozen):
            await followers.close()
        return self._got


def idling(on: str, subscription: bytes) -> Case:
    """Let subscribers idle on a server."""
    drive = partial(idle, subscription=subscription)
    return Case(on=on, drive=drive, orders=IDLE, fixed=True)


PART = Part(
    told="Ten thousand idle subscribers; a fast one beside a slow and a frozen one",
    servers={
        **dict.fromkeys(("idle", "alone", "beside"), WORKING),
        "bare": Bare("bare_stream.py"),
    },
    cases={
        "idle": idling("idle", request()),
        "bare, idle": idling("bare", asked(messages=0, parts=0)),
        "alone": Case(on="alone", drive=partial(heard, with_slow=False), orders=ORDERS, unit=1_000),
        "beside": Case(
            on="beside", drive=partial(heard, with_slow=True), orders=ORDERS, unit=1_000
        ),
    },
    turns=1,
    warm_up=0,
)
