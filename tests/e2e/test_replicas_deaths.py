"""P8, P10, P11: replicas that freeze, die or block, and the others that go on with their orders."""

import asyncio
from functools import partial

import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.in_process import completions
from support.orders import order
from support.remote_gate import FOR_ALL, remote_gate
from support.replicas import Replica, Replicas, replicas, until

LEASE = 1.0
SHORT = ("--lease", str(LEASE))
MANY = 40
MAX_CRASHES = 3


@pytest.mark.seconds
async def test_p10_a_replica_frozen_past_its_lease_changes_nothing_and_then_goes_on() -> None:
    async with (
        asyncio.timeout(20),
        remote_gate() as gate_a,
        remote_gate() as gate_b,
        replicas(*SHORT, "--workers", "1") as here,
    ):
        a = await here.start("a", gate=gate_a)
        taken_over = await a.place(order("taken over"))
        await gate_a.starts(1)
        b = await here.start("b", gate=gate_b)
        a.freeze()
        await gate_b.starts(1)
        counts = await here.ask("SELECT attempt_count, crash_count FROM orderintake.leases")
        await gate_b.let_through(1)
        ended = await b.completion(taken_over)

        await b.place(order("keeps b busy"))
        await gate_b.starts(2)
        await b.place(order("left to a"))
        await gate_a.let_through(1)
        a.thaw()
        async with asyncio.timeout(LEASE):
            started = await gate_a.starts(2)
        await a.logs("replica expired: its orders were recovered by others")
        await gate_a.let_through(1)
        await gate_b.let_through(1)
        found = await completions(a.stub, 3)

    assert counts == "2|1"
    assert [start.sku for start in started] == ["taken over", "left to a"]
    assert [(c.order.lines[0].sku, c.order.attempt_count) for c in found if c == ended] == [
        ("taken over", 2)
    ]
    assert {c.order.lines[0].sku for c in found} == {"taken over", "keeps b busy", "left to a"}
    assert {c.order.state for c in found} == {order_pb2.STATE_SUCCEEDED}


@pytest.mark.seconds
async def test_p10_what_an_attempt_that_lost_its_lease_comes_to_ends_no_other_attempt() -> None:
    async with (
        asyncio.timeout(20),
        remote_gate() as gate_a,
        remote_gate() as gate_b,
        replicas(*SHORT, "--workers", "1") as here,
    ):
        a = await here.start("a", gate=gate_a)
        receipt = await a.place(order("taken over"))
        await gate_a.starts(1)
        b = await here.start("b", gate=gate_b)
        a.freeze()
        await gate_b.starts(1)
        await b.place(order("left to a"))
        await gate_a.let_through(1)
        a.thaw()
        await gate_a.starts(2)  # so what it had before is settled, as far as it can be
        stands = await b.get(receipt.order.order_id)
        await gate_b.let_through(1)
        completion = await a.completion(receipt)
        await gate_a.let_through(1)
        found = await completions(b.stub, 2)

    assert stands.order.state == order_pb2.STATE_PROCESSING
    assert stands.order.start_sequence == completion.order.start_sequence == 2
    assert completion.order.attempt_count == 2
    assert completion.order.state == order_pb2.STATE_SUCCEEDED
    assert [c.order.lines[0].sku for c in found] == ["taken over", "left to a"]


@pytest.mark.seconds
async def test_p10_all_that_a_killed_replica_had_in_process_starts_elsewhere_in_two_leases() -> (
    None
):
    async with (
        asyncio.timeout(20),
        remote_gate() as gate_a,
        remote_gate() as gate_b,
        replicas(*SHORT, "--workers", str(MANY)) as here,
    ):
        a = await here.start("a", gate=gate_a)
        batch = api.BatchPlaceOrdersRequest(requests=[order() for _ in range(MANY)])
        await a.stub.BatchPlaceOrders(batch)
        await gate_a.starts(MANY)
        b = await here.start("b", gate=gate_b)
        a.process.kill()
        async with asyncio.timeout(2 * LEASE):
            await gate_b.starts(MANY)
        counts = await here.ask(
            "SELECT DISTINCT attempt_count, crash_count FROM orderintake.leases"
        )
        await gate_b.let_through(MANY)
        found = await completions(b.stub, MANY)

    assert counts == "2|1"
    assert [c.sequence for c in found] == list(range(1, MANY + 1))
    assert len({c.order.order_id for c in found}) == MANY
    assert {c.order.attempt_count for c in found} == {2}


@pytest.mark.seconds
async def test_p8_what_all_replicas_left_behind_is_taken_up_by_the_first_that_comes() -> None:
    async with asyncio.timeout(20), remote_gate() as gate, replicas(*SHORT) as here:
        both = [await here.start(name, "--workers", "2", gate=gate) for name in "ab"]
        for number in range(4):
            await both[0].place(order(f"{number}"))
        await gate.starts(4)
        for replica in both:
            replica.process.kill()
        await until(partial(_count, here, "expires_at < clock_timestamp()", 2))
        await gate.let_through(FOR_ALL)
        last = await here.start("c", "--workers", "1", gate=gate)
        found = await completions(last.stub, 4)
    assert [c.order.lines[0].sku for c in found] == ["0", "1", "2", "3"]
    assert {c.order.attempt_count for c in found} == {2}


@pytest.mark.seconds
async def test_p10_replicas_that_were_all_cut_off_for_a_lease_take_nothing_from_each_other() -> (
    None
):
    async with (
        asyncio.timeout(20),
        remote_gate() as gate,
        replicas("--lease", "0.5", "--workers", "4") as here,
    ):
        both = [await here.start(name, gate=gate) for name in "ab"]
        for replica in both:
            await replica.place(order("before"))
        await gate.starts(2)
        await until(partial(_count, here, "clock_timestamp() - since > interval '0.9 s'", 2))
        for replica in both:
            replica.freeze()
        await until(partial(_count, here, "expires_at < clock_timestamp()", 2))
        placing = [asyncio.create_task(replica.place(order("after"))) for replica in both * 3]
        for replica in both:
            replica.thaw()
        await asyncio.gather(*placing)
        await gate.let_through(FOR_ALL)
        found = await completions(both[0].stub, 8)
    assert sorted(start.sku for start in gate.started) == ["after"] * 6 + ["before"] * 2
    assert {c.order.attempt_count for c in found} == {1}


async def _count(here: Replicas, condition: str, sessions: int) -> bool:
    query = f"SELECT count(*) FROM orderintake.sessions WHERE {condition}"  # noqa: S608
    return await here.ask(query) == str(sessions)


@pytest.mark.seconds
async def test_p11_only_the_order_that_kills_one_replica_after_the_other_is_quarantined() -> None:
    async with (
        asyncio.timeout(25),
        replicas(
            "--lease", "0.5", "--handler", "support.handlers:by_sku", "--workers", "4"
        ) as here,
    ):
        before = await here.start("before", "--workers", "0")
        skus = ["slow", "die", "slow", "slow"]
        batch = api.BatchPlaceOrdersRequest(requests=[order(sku) for sku in skus])
        receipts = (await before.stub.BatchPlaceOrders(batch)).receipts
        for number in range(MAX_CRASHES):
            victim = here.launch(f"victim {number}")
            assert await asyncio.to_thread(victim.exit_code) == 9
        after = await here.start("after")
        found = await completions(after.stub, len(receipts))

    ends = {c.order.lines[0].sku: c for c in found}
    assert sorted(c.order.lines[0].sku for c in found) == sorted(skus)
    assert ends["slow"].order.state == order_pb2.STATE_SUCCEEDED
    assert ends["die"].order.state == order_pb2.STATE_FAILED
    assert ends["die"].failure.code == "QUARANTINED"
    assert ends["die"].order.attempt_count == MAX_CRASHES


@pytest.mark.seconds
async def test_p11_a_suspect_order_runs_with_no_other_beside_it_and_none_waits_for_ever() -> None:
    async with (
        asyncio.timeout(20),
        remote_gate() as gate_a,
        remote_gate() as gate_b,
        replicas(*SHORT, "--max-crashes", "2") as here,
    ):
        a = await here.start("a", "--workers", "1", gate=gate_a)
        await a.place(order("suspect"))
        await gate_a.starts(1)
        b = await here.start("b", "--workers", "3", gate=gate_b)
        await b.place(order("before"))
        await gate_b.starts(1)
        a.process.kill()
        await until(partial(_is_queued, b, 1))
        await gate_b.let_through(1)
        await gate_b.starts(2)
        for _ in range(3):
            await b.place(order("after"))
        beside = [start.sku for start in gate_b.started[2:]]
        await gate_b.let_through(FOR_ALL)
        found = await completions(b.stub, 5)

    assert [start.sku for start in gate_b.started[:2]] == ["before", "suspect"]
    assert not beside
    assert [c.order.lines[0].sku for c in found[:2]] == ["before", "suspect"]
    suspect = found[1].order
    starts = [c.order.start_time.ToNanoseconds() for c in found[2:]]
    assert min(starts) >= suspect.complete_time.ToNanoseconds()


async def _is_queued(replica: Replica, orders: int) -> bool:
    return (await replica.tiers())[order_pb2.TIER_REGULAR].queued == orders


@pytest.mark.seconds
async def test_p10_a_handler_that_blocks_the_event_loop_keeps_its_order() -> None:
    async with (
        asyncio.timeout(20),
        remote_gate() as gate_a,
        remote_gate() as gate_b,
        replicas(*SHORT, "--workers", "1") as here,
    ):
        a = await here.start("a", "--handler", "support.replicas:blocks", gate=gate_a)
        receipt = await a.place(order(labels={"seconds": str(3 * LEASE)}))
        await gate_a.starts(1)
        b = await here.start("b", gate=gate_b)
        await gate_a.let_through(1)
        completion = await b.completion(receipt)
        started = [*gate_b.started]

    assert not started
    assert (completion.order.attempt_count, completion.order.start_sequence) == (1, 1)
    assert completion.order.state == order_pb2.STATE_SUCCEEDED
