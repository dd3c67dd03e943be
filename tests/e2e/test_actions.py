"""P27: what operators did is recorded once for each effect, over kill -9, restarts and copies."""

import asyncio
import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake.v1.order_admin_service_pb2_grpc import OrderAdminServiceStub
from orderintake_server.commands.copy import copy
from orderintake_server.store.sqlite.audit import audit
from orderintake_server.store.sqlite.database import NAME
from support.changes import actions
from support.orders import order
from support.postgres_home import kinds
from support.process import serving_process
from support.replicas import replicas

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from orderintake.v1.order_admin_service_pb2_grpc import OrderAdminServiceAsyncStub

ORDERS = 120
LIVES = 4
RECORDED = """
SELECT tier, time, CASE WHEN action = 1 THEN 1 ELSE 0 END, 0 FROM {schema}operator_actions
WHERE action < 3
UNION ALL SELECT accept_sequence, {copy}, 0, 1 FROM {schema}operator_actions WHERE action = 3
ORDER BY 1, 2, 3, 4
"""
MOVES = """
SELECT tier, time, CASE WHEN is_paused THEN 1 ELSE 0 END, 0 FROM {schema}pauses
UNION ALL SELECT redrive_of, accept_sequence, 0, 1 FROM {schema}orders WHERE redrive_of > 0
ORDER BY 1, 2, 3, 4
"""
SQLITE = {"schema": "", "copy": "json_extract(detail, '$.copy')"}
POSTGRES = {"schema": "orderintake.", "copy": "(detail::json ->> 'copy')::bigint"}
BOTH = """
SELECT (SELECT string_agg(r::text, ' ') FROM ({recorded}) AS r),
  (SELECT string_agg(m::text, ' ') FROM ({moves}) AS m)
"""
"""Of one moment: what a server asked of the database before it died may be done only after that."""
TIERS = [order_pb2.TIER_REGULAR, order_pb2.TIER_VIP]


class Operators:
    """What several operators do to a server that is killed, and what they were told."""

    def __init__(self, order_ids: list[str], seed: int) -> None:
        self.order_ids = order_ids
        self.copies: dict[str, str] = {}
        self.answers = 0
        self.enough = asyncio.Event()
        self._left = 0
        self._chance = random.Random(seed)

    def expect(self, answers: int) -> None:
        """Let it be enough when so many more answers came."""
        self._left = answers
        self.enough.clear()

    async def work(self, stub: "OrderAdminServiceAsyncStub") -> None:
        """Pause, resume and redrive until the server is gone."""
        async with asyncio.TaskGroup() as tasks:
            for tier in TIERS * 2:
                tasks.create_task(_until_gone(self._toggle(stub, tier)))
            for _ in range(2):
                tasks.create_task(_until_gone(self._redrive(stub)))

    async def _toggle(
        self, stub: "OrderAdminServiceAsyncStub", tier: order_pb2.Tier.ValueType
    ) -> None:
        while True:
            if self._chance.random() < 0.5:
                await stub.PauseTier(admin.PauseTierRequest(tier=tier))
            else:
                await stub.ResumeTier(admin.ResumeTierRequest(tier=tier))
            self._answered()

    async def _redrive(self, stub: "OrderAdminServiceAsyncStub") -> None:
        while True:
            order_id = self._chance.choice(self.order_ids)
            answer = await stub.RedriveOrder(admin.RedriveOrderRequest(order_id=order_id))
            known = self.copies.setdefault(order_id, answer.order.order_id)
            assert known == answer.order.order_id
            self._answered()

    def _answered(self) -> None:
        self.answers += 1
        self._left -= 1
        if self._left <= 0:
            self.enough.set()


async def _until_gone(work: "Coroutine[Any, Any, None]") -> None:
    with suppress(grpc.aio.AioRpcError):
        await work


@pytest.mark.seconds
async def test_p27_actions_equal_the_moves_over_kills_and_copies(tmp_path: Path) -> None:
    data = tmp_path / "data"
    operators = Operators(await _cancelled(data), seed=1)
    for life in range(LIVES):
        async with (
            serving_process(data, "--workers", "0") as (server, _),
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            operators.expect(40 + 7 * life)
            work = asyncio.create_task(operators.work(OrderAdminServiceStub(channel)))
            told = await asyncio.to_thread(server.wait_for, "an operator asks")
            assert told["caller"] == "anybody"
            await operators.enough.wait()
            server.kill()
            await work
        assert await asyncio.to_thread(audit, data) == []
        assert _rows(data, RECORDED) == _rows(data, MOVES)

    listed = await _listed(data)
    assert [each.sequence for each in listed] == list(range(len(listed), 0, -1))
    assert {each.caller for each in listed} == {"anybody"}
    copies = {each.order_id: each.copy_order_id for each in listed if each.copy_order_id}
    assert operators.copies.items() <= copies.items()
    assert await _listed_after_copies(tmp_path) == listed


@pytest.mark.seconds
async def test_p27_actions_equal_the_moves_of_many_servers_that_are_killed() -> None:
    async with replicas("--workers", "0") as here:
        placer = await here.start("placer")
        receipts = await asyncio.gather(*(placer.place(order()) for _ in range(ORDERS)))
        order_ids = [receipt.order.order_id for receipt in receipts]
        await asyncio.gather(*map(placer.cancel, order_ids))
        operators = Operators(order_ids, seed=2)
        for life in range(2):
            servers = [await here.start(f"{name} {life}") for name in ("one", "other")]
            operators.expect(40 + 7 * life)
            work = [asyncio.create_task(operators.work(server.admin)) for server in servers]
            await operators.enough.wait()
            for server in servers:
                server.process.kill()
            await asyncio.gather(*work)
            both = BOTH.format(recorded=RECORDED.format(**POSTGRES), moves=MOVES.format(**POSTGRES))
            recorded, moves = (await here.ask(both)).split("|")
            assert recorded.split() == moves.split()
            assert len(recorded.split()) > 10


async def _cancelled(data: Path) -> list[str]:
    """Place orders and cancel them, which the open server's callers do as customers."""
    batch = api.BatchPlaceOrdersRequest(requests=[order() for _ in range(ORDERS)])
    async with serving_process(data, "--workers", "0") as (server, stub):
        receipts = (await stub.BatchPlaceOrders(batch)).receipts
        order_ids = [receipt.order.order_id for receipt in receipts]
        await asyncio.gather(
            *(stub.CancelOrder(api.CancelOrderRequest(order_id=each)) for each in order_ids)
        )
        assert await server.stops() == 0
        asked = [entry for entry in server.log if entry["event"] == "an operator asks"]
        assert asked == []
    return order_ids


def _rows(data: Path, query: str) -> list[tuple[int, ...]]:
    """Give the rows of a query, no two of which are the same."""
    with closing(sqlite3.connect(data / NAME)) as connection:
        rows = connection.execute(query.format(**SQLITE)).fetchall()
    assert len(set(rows)) == len(rows) > 0
    return rows


async def _listed(data: Path) -> list[admin.OperatorAction]:
    """Let a server list all actions."""
    async with (
        serving_process(data, "--workers", "0") as (server, _),
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = OrderAdminServiceStub(channel)
        request = admin.ListOperatorActionsRequest(page_size=50)
        found: list[admin.OperatorAction] = []
        while not found or request.page_token:
            page = await stub.ListOperatorActions(request)
            found += page.actions
            request.page_token = page.next_page_token
        assert await server.stops() == 0
    return found


async def _listed_after_copies(root: Path) -> list[admin.OperatorAction]:
    """Copy the store into a database and back; list the actions there."""
    home = kinds()[0](root)
    await home.open()
    await home.close()
    try:
        await copy(str(root / "data"), home.url)
        there = await actions(await home.open())
        await home.close()
        await copy(home.url, str(root / "back"))
    finally:
        await home.leave()
    back = await _listed(root / "back")
    assert [each.sequence for each in there] == [each.sequence for each in reversed(back)]
    return back
