"""Many orders by one call, over kill -9: each is moved once, and a repeat tells what was done."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1.order_admin_service_pb2_grpc import OrderAdminServiceStub
from orderintake_server.store.sqlite.audit import audit
from orderintake_server.store.sqlite.database import NAME
from support.in_process import completions
from support.orders import order
from support.process import serving_process

ORDERS, CALLERS, MOST = 120, 3, 7
LIVES = 4
DONE = """
SELECT request_id, count(*) FROM operator_actions WHERE action = ? GROUP BY request_id
"""
REDRIVEN = "SELECT count(DISTINCT redrive_of), count(*) FROM orders WHERE redrive_of > 0"
CANCELLED = "SELECT count(DISTINCT accept_sequence), count(*) FROM log WHERE outcome = 6"

Move = Callable[[Any, str], Awaitable[int]]
"""Asks a server for many orders to be moved, with this request_id; returns how many were."""


class Callers:
    """Several operators, each of whom repeats a call until it has an answer."""

    def __init__(self, move: Move) -> None:
        self._move = move
        self.answers: dict[str, int] = {}
        self.enough = asyncio.Event()
        self._open = [0] * CALLERS
        """The number of each caller's call that has no answer yet."""
        self._left = 0

    def expect(self, answers: int) -> None:
        """Let it be enough when so many more answers came."""
        self._left = answers
        self.enough.clear()

    async def work(self, stub: Any) -> None:  # noqa: ANN401 - generated
        """Call until the server is gone, or nothing is left."""
        await asyncio.gather(*(self._call(stub, each) for each in range(CALLERS)))
        self.enough.set()

    async def _call(self, stub: Any, caller: int) -> None:  # noqa: ANN401 - as above
        moved = 1
        while moved:
            request_id = f"{caller} {self._open[caller]}"
            try:
                moved = await self._move(stub, request_id)
            except grpc.aio.AioRpcError:
                return
            assert self.answers.setdefault(request_id, moved) == moved
            self._open[caller] += 1
            self._left -= 1
            if self._left <= 0:
                self.enough.set()


async def _redrive(stub: Any, request_id: str) -> int:  # noqa: ANN401 - as above
    asked = admin.RedriveOrdersRequest(request_id=request_id, all=True, max_orders=MOST)
    return int((await stub.RedriveOrders(asked)).redriven)


async def _cancel(stub: Any, request_id: str) -> int:  # noqa: ANN401 - as above
    asked = admin.CancelOrdersRequest(request_id=request_id, all=True, max_orders=MOST)
    return int((await stub.CancelOrders(asked)).cancelled)


@pytest.mark.seconds
@pytest.mark.parametrize(
    ("move", "action", "moved"),
    [(_redrive, 3, REDRIVEN), (_cancel, 4, CANCELLED)],
    ids=["redrive", "cancel"],
)
async def test_p27_each_call_for_many_orders_is_done_once_over_kills(
    tmp_path: Path, move: Move, action: int, moved: str
) -> None:
    await _fail(tmp_path, waits=move is _cancel)
    callers = Callers(move)
    for life in range(LIVES):
        async with (
            serving_process(tmp_path, "--workers", "0") as (server, _),
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            callers.expect(2 + life if life < LIVES - 1 else ORDERS)
            work = asyncio.create_task(callers.work(OrderAdminServiceStub(channel)))
            await callers.enough.wait()
            server.kill()
            await work
        assert await asyncio.to_thread(audit, tmp_path) == []
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        assert connection.execute(moved).fetchone() == (ORDERS, ORDERS)
        done = dict(connection.execute(DONE, (action,)).fetchall())
    assert done == {request_id: count for request_id, count in callers.answers.items() if count}


async def _fail(data: Path, *, waits: bool) -> None:
    """Place orders, which wait; or else let all of them fail."""
    batch = api.BatchPlaceOrdersRequest(requests=[order("raise") for _ in range(ORDERS)])
    workers = "0" if waits else "8"
    arguments = (
        "--workers",
        workers,
        "--handler",
        "support.handlers:by_sku",
        "--max-attempts",
        "1",
    )
    async with serving_process(data, *arguments) as (server, stub):
        await stub.BatchPlaceOrders(batch)
        if not waits:
            await completions(stub, ORDERS)
        assert await server.stops() == 0
