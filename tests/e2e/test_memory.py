"""P6 with a million orders waiting: memory stays bounded, and a VIP is the very next start."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.dispatch.ready import WINDOW
from orderintake_server.domain import NewOrder, Tier
from orderintake_server.store.sqlite.store import sqlite_store
from support.changes import accept
from support.clocks import Microseconds
from support.in_process import completions
from support.orders import order
from support.process import ServerProcess, server_process, serving_process
from support.remote_gate import remote_gate

log = structlog.get_logger()

WAITING = 1_000_000
GROUP = 5_000
MORE, BATCH = 5_000, 1_000
PROCESSED = 3 * WINDOW
PLAIN = 4 * GROUP
"""So many come first and are all queued; more than are processed here."""
DAY_SECONDS = 86_400
MOST_BYTES = 125 * 1024**2
"""A server without orders holds 80 MiB; to sort a million would take 50 more."""
START_SECONDS = 30


async def _fill(data: Path) -> None:
    """Let a million orders wait, through the store's own code: regular, scheduled, to expire."""
    content = order_pb2.Order(
        customer_id="ada",
        tier=order_pb2.TIER_REGULAR,
        lines=[order_pb2.OrderLine(sku="tea", quantity=1)],
    ).SerializeToString()
    new = NewOrder(customer_id="ada", request_id=None, tier=Tier.REGULAR, content=content)
    later = int((time.time() + DAY_SECONDS) * 1e6)
    scheduled, expiring = replace(new, not_before=later), replace(new, expire_time=later)
    plain = [new] * GROUP
    mixed = [new, scheduled, expiring, new, new] * (GROUP // 5)
    async with sqlite_store(data, clock=Microseconds()) as store:
        for first in range(0, WAITING, GROUP):
            await accept(store, plain if first < PLAIN else mixed, capacity=WAITING)


@pytest.mark.seconds
@pytest.mark.timeout(400)
async def test_p6_behind_a_million_orders_a_vip_starts_next_and_memory_stays_bounded(
    tmp_path: Path,
) -> None:
    await _fill(tmp_path)
    _check_start_up(tmp_path)
    await _check_vip_is_next(tmp_path)
    await _check_a_stretch_of_processing(tmp_path)


def _check_start_up(data: Path) -> None:
    began = time.monotonic()
    with server_process(data, "--workers", "0") as server:
        seconds = time.monotonic() - began
        assert server.log[0]["waiting"] == WAITING
        _check_memory(server)
    log.info("started with a million waiting", seconds=round(seconds, 2))
    assert seconds < START_SECONDS


async def _check_vip_is_next(data: Path) -> None:
    async with remote_gate() as gate:
        arguments = ("--workers", "1", "--queue-limit", "2000000", *gate.arguments)
        async with serving_process(data, *arguments, env=gate.env) as (server, stub):
            await gate.starts(1)
            for _ in range(MORE // BATCH):
                requests = api.BatchPlaceOrdersRequest(requests=[order()] * BATCH)
                await stub.BatchPlaceOrders(requests)
            await stub.PlaceOrder(order("vip", vip=True))
            await gate.let_through(2)
            started = await gate.starts(3)
            _check_memory(server)
    assert [start.sku for start in started] == ["tea", "vip", "tea"]
    assert [_accept_sequence(start.order_id) for start in started] == [1, WAITING + MORE + 1, 2]


async def _check_a_stretch_of_processing(data: Path) -> None:
    """Process more than is ever held in memory, in order."""
    async with serving_process(data, "--workers", "16") as (server, stub):
        done = [c.order for c in await completions(stub, PROCESSED)][2:]
        _check_memory(server)
    # Order 2 was start 3, which the kill cut short; it is start 4 again.
    assert {order.accept_sequence - order.start_sequence for order in done} == {2 - 4}


def _check_memory(server: ServerProcess) -> None:
    log.info("a million wait", peak_mib=server.peak_memory() // 1024**2)
    assert server.peak_memory() < MOST_BYTES


def _accept_sequence(order_id: str) -> int:
    return int(order_id.rpartition("-")[2], 16)
