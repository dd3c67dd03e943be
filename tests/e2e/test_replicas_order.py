"""P6, P13 over several replicas: one queue, whoever accepted an order and whoever starts it."""

import asyncio
import random

import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.in_process import completions
from support.orders import order
from support.remote_gate import FOR_ALL, remote_gate
from support.replicas import Replica, replicas

ROUNDS = 30
MIXED = 300
CANCELS = 200
SOON = 0.5
"""Seconds in which a handler elsewhere is told to stop; without NOTIFY each looks every 0.1 s."""
MATCHING = {
    api.CANCEL_OUTCOME_CANCELLED: {order_pb2.STATE_CANCELLED},
    api.CANCEL_OUTCOME_CANCEL_REQUESTED: {order_pb2.STATE_CANCELLED, order_pb2.STATE_SUCCEEDED},
    api.CANCEL_OUTCOME_TOO_LATE: {order_pb2.STATE_SUCCEEDED},
}


@pytest.mark.seconds
async def test_p6_a_slot_that_frees_takes_the_vip_order_that_another_replica_accepted() -> None:
    async with (
        asyncio.timeout(20),
        remote_gate() as gate_a,
        remote_gate() as gate_b,
        replicas("--workers", "2") as here,
    ):
        a, b = await here.start("a", gate=gate_a), await here.start("b", gate=gate_b)
        for replica in (a, a, b, b):
            await replica.place(order("filler"))
        for number in range(ROUNDS):
            await a.place(order(f"regular {number}"))
        await asyncio.gather(gate_a.starts(2), gate_b.starts(2))
        for number in range(ROUNDS):
            await b.place(order(f"vip {number}", vip=True))
            await gate_a.let_through(1)
            await gate_a.starts(3 + number)
        started = [start.sku for start in gate_a.started]
        elsewhere = len(gate_b.started)
    assert started == ["filler"] * 2 + [f"vip {number}" for number in range(ROUNDS)]
    assert elsewhere == 2


@pytest.mark.seconds
async def test_p6_a_random_mix_through_two_replicas_starts_vip_first_each_tier_as_accepted() -> (
    None
):
    chance = random.Random(6)
    async with (
        asyncio.timeout(20),
        remote_gate() as gate_a,
        remote_gate() as gate_b,
        replicas("--workers", "3") as here,
    ):
        both = await here.start("a", gate=gate_a), await here.start("b", gate=gate_b)
        for replica in both * 3:
            await replica.place(order("filler"))
        await asyncio.gather(gate_a.starts(3), gate_b.starts(3))
        await asyncio.gather(*[
            chance.choice(both).place(order(vip=chance.random() < 0.3)) for _ in range(MIXED)
        ])  # fmt: skip
        await gate_a.let_through(FOR_ALL)
        await gate_b.let_through(FOR_ALL)
        found = await completions(both[0].stub, 6 + MIXED)
        shares = len(gate_a.started), len(gate_b.started)

    orders = sorted((c.order for c in found), key=lambda order: order.start_sequence)
    assert [each.start_sequence for each in orders] == list(range(1, 7 + MIXED))
    mixed = orders[6:]
    assert mixed == sorted(mixed, key=lambda order: (-order.tier, order.accept_sequence))
    assert min(shares) > 6


@pytest.mark.seconds
async def test_p6_orders_placed_while_two_replicas_work_overtake_nobody() -> None:
    chance = random.Random(66)
    async with asyncio.timeout(20), replicas("--workers", "2") as here:  # whose audit tells
        both = await here.start("a"), await here.start("b")

        async def place() -> None:
            for _ in range(MIXED // 10):
                labels = {"processing_time": f"{chance.random() / 100:.4f}s"}
                await chance.choice(both).place(order(vip=chance.random() < 0.3, labels=labels))

        await asyncio.gather(*[place() for _ in range(10)])
        found = await completions(both[1].stub, MIXED)
    assert sorted(c.order.start_sequence for c in found) == list(range(1, MIXED + 1))
    assert [c.sequence for c in found] == list(range(1, MIXED + 1))


@pytest.mark.seconds
@pytest.mark.parametrize("notify", ["true", "false"])
async def test_p13_a_cancel_stops_the_handler_in_another_replica(notify: str) -> None:
    async with (
        asyncio.timeout(20),
        remote_gate() as gate,
        replicas("--notify", notify) as here,
    ):
        a, b = await here.start("a", gate=gate), await here.start("b", "--workers", "0")
        loop = asyncio.get_running_loop()
        for number in range(5):
            receipt = await b.place(order())
            await gate.starts(number + 1)
            answer = await b.cancel(receipt.order.order_id)
            began = loop.time()
            completion = await a.completion(receipt)
            assert loop.time() - began < SOON
            assert answer.outcome == api.CANCEL_OUTCOME_CANCEL_REQUESTED
            assert not answer.HasField("completion")
            assert completion.order.state == order_pb2.STATE_CANCELLED
            too_late = await b.cancel(receipt.order.order_id)
            assert too_late.outcome == api.CANCEL_OUTCOME_CANCELLED
            assert too_late.completion == completion


@pytest.mark.seconds
async def test_p13_cancels_that_race_across_replicas_are_answered_as_the_orders_end() -> None:
    chance = random.Random(13)
    async with asyncio.timeout(20), replicas("--workers", "4") as here:
        both = await here.start("a"), await here.start("b")

        async def place_and_cancel() -> list[tuple[str, api.CancelOrderResponse]]:
            labels = {"processing_time": f"{chance.choice([0, 0, 1, 5, 20]) / 1000:.3f}s"}
            receipt = await chance.choice(both).place(order(labels=labels))
            order_id = receipt.order.order_id
            if chance.random() < 0.5:
                await chance.choice(both).get(order_id)
            cancelling = [replica for replica in both if chance.random() < 0.7] or [both[0]]
            answers = await asyncio.gather(*[each.cancel(order_id) for each in cancelling])
            return [(order_id, answer) for answer in answers]

        pairs = []
        for _ in range(10):
            group = [place_and_cancel() for _ in range(CANCELS // 10)]
            pairs += [pair for pairs in await asyncio.gather(*group) for pair in pairs]
        found = await completions(both[0].stub, CANCELS)

    ends = {c.order.order_id: c for c in found}
    assert len(ends) == CANCELS
    for order_id, answer in pairs:
        assert ends[order_id].order.state in MATCHING[answer.outcome]
        if answer.HasField("completion"):
            assert answer.completion == ends[order_id]
    assert {answer.outcome for _, answer in pairs} == MATCHING.keys()


@pytest.mark.seconds
async def test_p13_an_order_that_waits_is_cancelled_by_any_replica_at_once() -> None:
    async with asyncio.timeout(20), replicas("--workers", "0") as here:
        a, b = await here.start("a"), await here.start("b")
        for _ in range(20):
            receipt = await a.place(order())
            answer = await b.cancel(receipt.order.order_id)
            assert answer.outcome == api.CANCEL_OUTCOME_CANCELLED
            assert answer.completion == (await a.get(receipt.order.order_id)).completion
            await _reads_on(a, answer.completion.cursor)


async def _reads_on(replica: Replica, cursor: str) -> None:
    """Check that a cursor is good at a replica."""
    page = await replica.stub.ListCompletions(api.ListCompletionsRequest(page_token=cursor))
    assert not page.completions
