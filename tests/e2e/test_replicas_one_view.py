"""Replicas show their callers and operators one store, and refuse one that is not theirs."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.orders import order
from support.process import run_to_end
from support.remote_gate import remote_gate
from support.replicas import Replica, empty_database, replicas, until

ROUNDS = 30
REGULAR, VIP = order_pb2.TIER_REGULAR, order_pb2.TIER_VIP


@pytest.mark.seconds
async def test_a_pause_asked_of_one_replica_holds_at_the_other_too() -> None:
    async with asyncio.timeout(20), remote_gate() as gate, replicas() as here:
        a, b = await here.start("a", "--workers", "0"), await here.start("b", gate=gate)
        for number in range(5):
            await a.admin.PauseTier(admin.PauseTierRequest(tier=REGULAR))
            held = await b.place(order("held"))
            await b.place(order("goes on", vip=True))
            await gate.starts(2 * number + 1)
            await b.place(order("goes on", vip=True))
            await gate.starts(2 * number + 2)
            assert (await b.get(held.order.order_id)).order.state == order_pb2.STATE_QUEUED
            assert (await until(partial(_is_paused, b))) < 1
            assert await _is_paused(a)
            await a.cancel(held.order.order_id)
            await gate.let_through(2)
            await b.admin.ResumeTier(admin.ResumeTierRequest(tier=REGULAR))
        last = await a.place(order("resumed"))
        await gate.let_through(1)
        await b.completion(last)
        skus = [start.sku for start in gate.started]
    assert skus == ["goes on"] * 10 + ["resumed"]


async def _is_paused(replica: Replica) -> bool:
    tiers = await replica.tiers()
    return tiers[REGULAR].paused and not tiers[VIP].paused


@pytest.mark.seconds
async def test_each_replica_soon_tells_how_all_orders_stand() -> None:
    async with asyncio.timeout(20), remote_gate() as gate, replicas("--workers", "2") as here:
        a, b = await here.start("a", gate=gate), await here.start("b", gate=gate)
        for replica in (a, b, a, b, a):
            await replica.place(order())
        for replica in (a, b, b):
            await replica.place(order(vip=True))
        await gate.starts(4)
        await gate.let_through(1)
        await gate.starts(5)
        for replica in (a, b):
            await until(partial(_stands_so, replica), seconds=1)
        head = api.ListCompletionsRequest()
        assert await a.stub.ListCompletions(head) == await b.stub.ListCompletions(head)


async def _stands_so(replica: Replica) -> bool:
    tiers = await replica.tiers()
    counts = {tier: (tiers[tier].queued, tiers[tier].processing) for tier in (REGULAR, VIP)}
    rates = [tiers[tier].accept_rate > 0 for tier in (REGULAR, VIP)]
    return counts == {REGULAR: (1, 3), VIP: (2, 1)} and all(rates)


@pytest.mark.seconds
async def test_what_one_replica_accepted_is_found_at_its_place_by_the_other_at_once() -> None:
    async with asyncio.timeout(20), replicas("--workers", "0") as here:
        a, b = await here.start("a"), await here.start("b")
        for number in range(ROUNDS):
            for replica, other in ((a, b), (b, a)):
                request = order(vip=number % 3 == 0, request_id=f"{number} {replica.address}")
                receipt = await replica.place(request)
                stands = await other.get(receipt.order.order_id)
                assert stands.order == receipt.order
                assert stands.position == receipt.position
                again = await other.place(request)
                assert again.replayed
                assert again.order.order_id == receipt.order.order_id
                assert again.position == receipt.position


@pytest.mark.seconds
async def test_a_replica_that_ranks_orders_otherwise_is_refused_and_told_who_is_there() -> None:
    async with asyncio.timeout(20), replicas() as here:
        await here.start("first")
        other = await asyncio.to_thread(
            run_to_end, "--store", here.url, "--listen", "127.0.0.1:0", "--vip-head-start", "5"
        )
    assert other.returncode == 1
    message = other.stderr.splitlines()[-1]
    assert "vip_head_start" in message
    assert "must be the same for all replicas; others are running: " in message
    assert "first" in message


@pytest.mark.seconds
async def test_p18_a_database_with_no_store_is_refused_and_the_command_that_makes_one_named() -> (
    None
):
    url = await asyncio.to_thread(empty_database)
    started = await asyncio.to_thread(run_to_end, "--store", url, "--listen", "127.0.0.1:0")
    assert started.returncode == 1
    assert "`orderintake-server migrate --store" in started.stderr
    assert (await asyncio.to_thread(run_to_end, "migrate", "--store", url)).returncode == 0
    audited = await asyncio.to_thread(run_to_end, "audit", "--store", url)
    assert (audited.returncode, audited.stdout) == (0, "the store: every rule holds\n")


@pytest.mark.seconds
async def test_a_database_that_is_not_there_is_refused_without_its_password_in_the_message(
    tmp_path: Path,
) -> None:
    url = "postgresql://nobody:secret@127.0.0.1:1/nothing"
    started = await asyncio.to_thread(run_to_end, "--store", url, "--listen", "127.0.0.1:0")
    assert started.returncode == 1
    assert "cannot be reached" in started.stderr
    assert "secret" not in started.stderr
