"""What commits count: orders accepted, started and ended, and what the store could not do."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orderintake_server.domain import Tier
from orderintake_server.errors import StorageUnavailable
from orderintake_server.http.monitoring.readiness import FULL_SECONDS, Readiness
from orderintake_server.metrics import Meters
from support.changes import DONE, again, new
from support.desk import Desk, working
from support.faulty import FaultyStore, faulty_store


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work."""
    async with working(Desk(store)) as desk:
        yield desk
        store.repair()
        store.let_go()


@pytest.fixture
def meters(desk: Desk) -> Meters:
    return desk.meters


async def test_accepts_replays_and_starts_are_counted_by_tier(desk: Desk, meters: Meters) -> None:
    order = new(request_id="once", vip=True)
    await desk.place(order)
    await desk.place(order)
    await desk.place(new(), new())
    await desk.starts(2)
    commits = meters.commits
    assert (commits.accepted[Tier.VIP], commits.accepted[Tier.REGULAR]) == (1, 2)
    assert (commits.replayed[Tier.VIP], commits.replayed[Tier.REGULAR]) == (1, 0)
    waits = [sum(commits.waits[tier].buckets) for tier in (Tier.VIP, Tier.REGULAR)]
    assert waits == [1, 1]
    assert sum(commits.seconds.buckets) == sum(commits.changes.buckets) >= 3


async def test_every_end_of_an_order_is_counted_once(desk: Desk, meters: Meters) -> None:
    await desk.place(new(), new(), new(expire_time=desk.store.clock() + 1_000_000))
    lease = await desk.start()
    desk.committer.settle(lease, DONE)
    await desk.committer.cancel(2)
    await desk.committer.cancel(2)
    desk.turn(3600)
    await desk.committer.cancel(3)
    completed = {labels: count for labels, count in meters.commits.completed.items() if count}
    assert completed == {
        ("regular", "succeeded"): 1,
        ("regular", "cancelled"): 1,
        ("regular", "expired"): 1,
    }


async def test_an_attempt_that_ended_its_process_is_counted_when_its_order_starts_again(
    tmp_path: Path,
) -> None:
    async with faulty_store(tmp_path / "own") as store, working(Desk(store)) as first:
        await first.place(new())
        await first.start()
    async with faulty_store(tmp_path / "own") as store, working(Desk(store)) as second:
        lease = await second.start()
        second.committer.settle(lease, again(0))
        lease = await second.start()
        assert lease.crash_count == 1
        second.committer.settle(lease, DONE)
    assert first.meters.attempts.ended["regular", "crashed"] == 0
    assert second.meters.attempts.ended["regular", "crashed"] == 1


async def test_a_store_that_cannot_be_written_is_down_until_a_commit_succeeds(
    desk: Desk, store: FaultyStore, meters: Meters
) -> None:
    ready = Readiness(meters.commits, lambda: False)
    assert ready.reasons() == ["starting"]
    ready.has_started = True
    assert ready.reasons() == []
    store.go_away()
    with pytest.raises(StorageUnavailable):
        await desk.place(new())
    assert ready.reasons() == ["store_away"]
    assert meters.commits.errors[("away",)] >= 1
    store.repair()
    await desk.place(new())
    assert ready.reasons() == []


async def test_a_full_disk_is_a_reason_only_for_a_while(
    desk: Desk, store: FaultyStore, meters: Meters
) -> None:
    ready = Readiness(meters.commits, lambda: False)
    ready.has_started = True
    store.fill()
    with pytest.raises(StorageUnavailable):
        await desk.place(new())
    assert ready.reasons() == ["store_full"]
    meters.commits.failed_at -= FULL_SECONDS + 1
    assert ready.reasons() == []


def test_a_server_that_drains_is_not_ready() -> None:
    ready = Readiness(Meters().commits, lambda: True)
    ready.has_started = True
    assert ready.reasons() == ["draining"]
