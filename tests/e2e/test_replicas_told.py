"""What operators are told of several replicas: who took over from whom, and who there is."""

import asyncio
from functools import partial
from signal import SIGKILL

import pytest

from orderintake.v1 import order_admin_service_pb2 as admin
from support.orders import order
from support.process import run_to_end
from support.replicas import Replica, replicas, until


@pytest.mark.seconds
async def test_a_survivor_tells_whom_it_took_over_from_and_stats_count_all_workers() -> None:
    async with asyncio.timeout(30), replicas("--lease", "1") as here:
        dying = await here.start("dying", "--workers", "3")
        other = await here.start("other", "--workers", "0")
        for replica in (dying, other):
            await until(partial(_has_workers, replica, 3))
        for _ in range(2):
            await other.place(order(labels={"processing_time": "60s"}))
        await until(partial(_processes, other, 2))
        listed = await asyncio.to_thread(run_to_end, "servers", "--store", here.url)
        assert listed.returncode == 0, listed.stderr
        assert "dying: 3 workers, 2 orders in process" in listed.stdout
        assert "other: 0 workers, 0 orders in process" in listed.stdout
        dying.process.signal(SIGKILL)
        told = await asyncio.to_thread(other.process.wait_for, "took over from a replica that died")
        assert (told["replica"], told["orders"]) == ("dying", 2)
        await until(partial(_has_workers, other, 0))


async def _has_workers(replica: Replica, count: int) -> bool:
    stats = await replica.admin.GetQueueStats(admin.GetQueueStatsRequest())
    return bool(stats.workers == count)


async def _processes(replica: Replica, count: int) -> bool:
    stats = await replica.admin.GetQueueStats(admin.GetQueueStatsRequest())
    return sum(tier.processing for tier in stats.tiers) == count
