"""What a server tells of itself, its store and its subscribers, also when the store is away."""

from collections.abc import AsyncIterator

import pytest

from orderintake_server import overview
from orderintake_server.api.responses import Responses
from orderintake_server.errors import StoreAway, StoreError, StoreRefused
from orderintake_server.ids import Ids
from orderintake_server.overview import Overview
from orderintake_server.stream.subscription import Subscription
from orderintake_server.views import EVERY_ORDER, StartAt, Subscribe
from support.changes import new
from support.desk import Desk, working
from support.faulty import FaultyStore

FROM_START = Subscribe(wanted=EVERY_ORDER, start=StartAt.EARLIEST, limit=10, heartbeat_seconds=5.0)


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A desk at work, with one order in process and one that waits."""
    async with working(Desk(store)) as desk:
        await desk.place(new(), new())
        await desk.start()
        yield desk


@pytest.fixture
def seen(desk: Desk) -> Overview:
    """What is seen of it."""
    return Overview(
        "shop-1:7",
        4,
        desk.store,
        desk.completions,
        busy=lambda: 1,
        meters=desk.meters,
        clock=desk.store.clock,
    )


async def test_a_server_alone_knows_how_many_of_its_workers_are_busy(seen: Overview) -> None:
    found = await seen.servers()
    (own,) = found.seen
    assert (own.name, own.workers, own.busy) == ("shop-1:7", 4, 1)
    assert own.is_own
    assert own.since < own.heard
    assert found.condition is not None


@pytest.mark.parametrize("error", [StoreAway("gone"), StoreRefused("no")])
async def test_a_store_out_of_reach_leaves_what_the_server_knows_itself(
    desk: Desk, seen: Overview, monkeypatch: pytest.MonkeyPatch, error: StoreError
) -> None:
    async def look() -> None:
        raise error

    monkeypatch.setattr(desk.store.condition, "look", look)
    found = await seen.servers()
    assert (len(found.seen), found.condition) == (1, None)
    message = Responses(Ids("0badcafe"), desk.store.clock).servers(found)
    assert not message.store.reachable
    assert (message.store.engine, message.store.size_bytes) == ("", 0)


async def test_the_times_of_commits_are_those_of_the_newest(desk: Desk, seen: Overview) -> None:
    desk.meters.commits.recent.clear()
    assert (await seen.servers()).commit_seconds is None
    for each in range(2_000, 0, -1):
        desk.meters.commits.committed(each / 1000, 1)
    assert (await seen.servers()).commit_seconds == (0.5, 0.99)


async def test_the_furthest_behind_come_first_and_no_more_than_fit(
    desk: Desk, seen: Overview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "SHOWN_SUBSCRIBERS", 2)
    desk.completions.publish(9)
    streams = [Subscription(desk.completions, FROM_START, after=after) for after in (7, 2, 5)]
    desk.completions.subscriptions.update(streams)
    shown, total = seen.subscribers()
    assert ([each.lag for each in shown], total) == ([7, 4], 3)
    desk.completions.subscriptions.clear()
