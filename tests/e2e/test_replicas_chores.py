"""P5, P12 over several replicas: what is to be done once is done, whoever dies, and done once."""

import asyncio
import time
from collections import Counter
from functools import partial
from signal import SIGKILL, SIGSTOP, Signals

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.orders import order
from support.refusals import refused
from support.replicas import Replica, Replicas, replicas, until

SOON = 0.7
"""Seconds until what is placed falls due: time to stop the replica that would see to it."""
LATEST = 1.0
"""P12: how many seconds late it may be."""
CALLERS = 20
LIMIT = 50


def _in_seconds(seconds: float) -> Timestamp:
    time_then = Timestamp()
    time_then.FromNanoseconds(time.time_ns() + round(seconds * 1e9))
    return time_then


def _seconds_late(done: Timestamp, due: Timestamp) -> float:
    return (done.ToNanoseconds() - due.ToNanoseconds()) / 1e9


@pytest.mark.seconds
@pytest.mark.parametrize("number", [SIGKILL, SIGSTOP], ids=lambda number: number.name)
async def test_p12_times_are_kept_within_a_second_when_the_oldest_replica_is_gone(
    number: Signals,
) -> None:
    async with asyncio.timeout(20), replicas("--lease", "60") as here:  # no replica expires
        oldest = await here.start("oldest", "--workers", "0")
        others = [await here.start(name) for name in ("second", "third")]
        pause = admin.PauseTierRequest(tier=order_pb2.TIER_VIP)
        await others[0].admin.PauseTier(pause)
        for asked, done in ((oldest, others[0]), (others[0], others[1])):
            later, shorter = order(), order(vip=True)
            later.not_before.CopyFrom(_in_seconds(SOON))
            shorter.expire_time.CopyFrom(_in_seconds(SOON))
            receipts = await asked.place(later), await asked.place(shorter)
            asked.process.signal(number)
            started, expired = [(await done.completion(receipt)).order for receipt in receipts]
            assert started.state == order_pb2.STATE_SUCCEEDED
            assert 0 <= _seconds_late(started.start_time, later.not_before) < LATEST
            assert expired.state == order_pb2.STATE_EXPIRED
            assert 0 <= _seconds_late(expired.complete_time, shorter.expire_time) < LATEST


@pytest.mark.seconds
@pytest.mark.parametrize("number", [SIGKILL, SIGSTOP], ids=lambda number: number.name)
async def test_what_is_old_is_forgotten_though_the_oldest_replica_is_gone(number: Signals) -> None:
    async with asyncio.timeout(20), replicas("--lease", "1", "--retention", "0.2") as here:
        oldest, other = await here.start("oldest"), await here.start("other")
        await oldest.completion(await oldest.place(order()))
        await until(partial(_is_forgotten, here, 1))
        oldest.process.signal(number)
        for sequence in (2, 3):
            await other.completion(await other.place(order()))
            await until(partial(_is_forgotten, here, sequence))


@pytest.mark.seconds
async def test_p17_the_earliest_there_is_at_one_replica_has_not_expired_at_the_other() -> None:
    async with (
        asyncio.timeout(30),
        replicas("--retention", "0.2", "--notify", "false") as here,
    ):
        a, b = await here.start("a"), await here.start("b", "--workers", "0", "--retention", "0")
        for sequence in range(1, 6):
            await a.completion(await a.place(order()))
            await until(partial(_is_forgotten, here, sequence))
            page = await b.stub.ListCompletions(api.ListCompletionsRequest())
            assert not page.completions


async def _is_forgotten(here: Replicas, sequence: int) -> bool:
    """Tell whether nothing of the log is left up to this completion."""
    earliest = "SELECT earliest FROM orderintake.commits ORDER BY number DESC LIMIT 1"
    return await here.ask(earliest) == str(sequence)


@pytest.mark.seconds
async def test_p5_a_limit_is_exact_for_callers_at_two_replicas() -> None:
    async with (
        asyncio.timeout(20),
        replicas(*("--workers", "0", "--queue-limit", str(LIMIT), "--vip-reserve", "0.2")) as here,
    ):
        both = await here.start("a"), await here.start("b")
        regular = await _until_full(both, is_vip=False)
        vip = await _until_full(both, is_vip=True)
        counted = [await replica.tiers() for replica in both]

    assert regular == {"accepted": LIMIT - 10, "QUEUE_FULL": CALLERS}
    assert vip == {"accepted": 10, "QUEUE_FULL": CALLERS}
    for tiers in counted:
        assert tiers[order_pb2.TIER_REGULAR].queued == LIMIT - 10
        assert tiers[order_pb2.TIER_VIP].queued == 10


@pytest.mark.seconds
async def test_p5_a_customers_limit_is_exact_for_callers_at_two_replicas() -> None:
    async with (
        asyncio.timeout(20),
        replicas(*("--workers", "0", "--customer-queue-limit", str(LIMIT))) as here,
    ):
        both = await here.start("a"), await here.start("b")
        assert await _until_full(both, is_vip=False) == {
            "accepted": LIMIT,
            "CUSTOMER_QUOTA": CALLERS,
        }
        assert (await both[0].place(order(customer_id="bob"))).position == LIMIT + 1


async def _until_full(both: tuple[Replica, ...], *, is_vip: bool) -> Counter[str]:
    """Place orders, half of the callers here and half there, until each is refused."""
    outcomes: Counter[str] = Counter()

    async def place(replica: Replica) -> None:
        while True:
            try:
                await replica.place(order(vip=is_vip))
            except grpc.aio.AioRpcError as error:
                outcomes[refused(error).reason] += 1
                return
            outcomes["accepted"] += 1

    await asyncio.gather(*[place(both[number % 2]) for number in range(CALLERS)])
    return outcomes
