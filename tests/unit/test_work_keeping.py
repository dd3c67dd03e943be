"""W4, W5, W7 and W9 of KeepLeases, over a store that knows what a test tells it."""

import asyncio

import pytest

from orderintake_server.domain import State
from orderintake_server.errors import Draining
from orderintake_server.holders import LeaseKey
from orderintake_server.work.words import Inventory, KeepAsked, News
from support.work_room import ME, Floor, held, key, lent

QUIET = News(keeps=30)


def keeping(
    *has: LeaseKey, last_call: int = 1, open_calls: tuple[int, ...] = (), wait: float = 60.0
) -> KeepAsked:
    """Make a call of a worker that has these leases."""
    inventory = Inventory(held=has, last_call=last_call, open_calls=open_calls)
    return KeepAsked(worker_id=ME, inventory=inventory, wait=wait)


async def waiting(floor: Floor, call: KeepAsked) -> "asyncio.Task[News]":
    """Make a call; return when it waits for news."""
    reads = floor.store.reads
    task = asyncio.create_task(floor.room.keep(call))
    for _ in range(8):
        await asyncio.sleep(0)
    assert (floor.store.reads > reads, task.done()) == (True, False)
    return task


async def test_w5_a_call_without_news_is_answered_when_its_time_is_over() -> None:
    floor = Floor()
    floor.store.know(held(1))
    assert await floor.room.keep(keeping(key(1), wait=0.0)) == QUIET
    assert (floor.store.reads, floor.committer.words) == (1, [])


async def test_what_a_worker_says_of_itself_is_told_the_store_once() -> None:
    floor = Floor()
    call = KeepAsked(worker_id=ME, name="kitchen:7", capacity=16)
    await floor.room.keep(call)
    assert floor.committer.words == [(ME, "kitchen:7", 16, False, None)]
    assert floor.life.capacity == 16
    floor.store.know(name="kitchen:7", capacity=16)
    await floor.room.keep(call)
    await floor.room.keep(KeepAsked(worker_id=ME))  # it says nothing of itself
    assert len(floor.committer.words) == 1
    assert floor.life.capacity == 16


async def test_a_worker_that_the_server_started_is_told_as_such() -> None:
    floor = Floor()
    floor.room.expect(ME)
    await floor.room.keep(KeepAsked(worker_id=ME))
    assert floor.committer.words[0].is_local is True


async def test_a_worker_that_has_ended_says_nothing_that_counts() -> None:
    floor = Floor()
    floor.store.know(is_ended=True)
    await floor.room.keep(KeepAsked(worker_id=ME, name="late"))
    assert not floor.committer.words


async def test_w4_what_no_answer_brought_waits_again() -> None:
    floor = Floor()
    floor.store.know(held(1, 1), held(2, 2), held(3, 3), held(4, 4), held(5, 0), held(6, 2))
    floor.committer.states = {key(2): State.QUEUED, key(6): None}
    await floor.room.keep(keeping(key(1), last_call=3, open_calls=(3,), wait=0.0))
    # 3 is open, 4 came later, 5 has no number: any of them may be on its way
    assert floor.committer.reports == [(key(2), None), (key(6), None)]
    assert floor.meters.work.lost_answers["inventory",] == 1


async def test_a_worker_that_is_not_known_yet_is_answered_at_once() -> None:
    floor = Floor()
    assert await floor.room.keep(KeepAsked(worker_id=ME, wait=60.0)) == QUIET


async def test_w4_a_call_without_an_inventory_gives_nothing_back() -> None:
    floor = Floor()
    floor.store.know(held(1))
    assert await floor.room.keep(KeepAsked(worker_id=ME)) == QUIET
    assert not floor.committer.reports


async def test_w9_a_cancel_is_news_at_once() -> None:
    floor = Floor()
    floor.store.know(held(1))
    call = await waiting(floor, keeping(key(1)))
    floor.store.know(held(1, is_cancel_requested=True))
    floor.committer.on_news([ME, "another"])
    assert await call == News(keeps=30, stops=[key(1)])


async def test_w9_news_that_came_while_it_looked_is_seen() -> None:
    floor = Floor()
    floor.store.know(held(1))
    call = asyncio.create_task(floor.room.keep(keeping(key(1))))
    await asyncio.sleep(0)  # it reads
    assert floor.store.reads == 1
    before = floor.store.rows[ME]
    floor.store.know(held(1, is_cancel_requested=True))
    after, floor.store.rows[ME] = floor.store.rows[ME], before
    floor.committer.on_news([ME])
    await asyncio.sleep(0)
    floor.store.rows[ME] = after
    assert (await call).stops == [key(1)]


async def test_w9_a_stop_is_told_once_a_second_until_it_is_heard() -> None:
    floor = Floor()
    floor.store.know(held(1, is_cancel_requested=True))
    call = keeping(key(1))
    assert (await floor.room.keep(call)).stops == [key(1)]
    again = await waiting(floor, call)
    floor.clock.turn(1.0)
    floor.committer.on_news([ME])
    assert (await again).stops == [key(1)]
    inventory = Inventory(held=[key(1)], last_call=1)
    heard = KeepAsked(worker_id=ME, inventory=inventory, stops_heard=[key(1)])
    assert await floor.room.keep(heard) == QUIET


async def test_a_new_stop_is_told_at_once_though_another_was_just_told() -> None:
    floor = Floor()
    floor.store.know(held(1, is_cancel_requested=True))
    await floor.room.keep(keeping(key(1)))
    both = held(1, is_cancel_requested=True), held(2, is_cancel_requested=True)
    floor.store.know(*both)
    assert (await floor.room.keep(keeping(key(1), key(2)))).stops == [key(1), key(2)]


async def test_leases_that_are_good_no_longer_are_told() -> None:
    floor = Floor()
    floor.store.know(held(2))
    assert await floor.room.keep(keeping(key(1), key(2))) == News(keeps=30, lost=[key(1)])


async def test_a_newer_call_ends_the_one_that_waits() -> None:
    floor = Floor()
    floor.store.know()
    first = await waiting(floor, keeping())
    second = await waiting(floor, keeping())
    assert await first == QUIET
    floor.room.refuse_leases()
    assert (await second).is_going_away


async def test_w7_a_worker_that_stops_is_answered_at_once_and_its_calls_end() -> None:
    floor = Floor()
    floor.store.know()
    stopping = KeepAsked(worker_id=ME, is_stopping=True, wait=60.0)
    with floor.room.leasing.waits.waiting(ME) as mine:
        assert await floor.room.keep(stopping) == QUIET
        assert (mine.is_over, floor.committer.words[0].is_stopping) == (True, True)
    floor.store.know(is_stopping=True)
    again = await waiting(floor, stopping)  # that is known: it waits for news as any other
    floor.room.close()
    assert (await again).is_going_away


async def test_w7_a_worker_is_told_at_once_that_it_stops_though_the_store_knows_it() -> None:
    floor = Floor()
    floor.store.know(is_stopping=True)  # another server answered, or nobody heard the answer
    stopping = KeepAsked(worker_id=ME, is_stopping=True, wait=60.0)
    with floor.room.leasing.waits.waiting(ME) as mine:
        assert await floor.room.keep(stopping) == QUIET
        assert (mine.is_over, floor.committer.words) == (True, [])


async def test_w12_a_server_that_stops_serves_those_that_stop_too_and_nobody_else() -> None:
    floor = Floor()
    floor.room.refuse_leases()
    with pytest.raises(Draining):
        await floor.room.keep(keeping())
    news = await floor.room.keep(KeepAsked(worker_id=ME, is_stopping=True))
    assert news.is_going_away
    floor.room.close()
    with pytest.raises(Draining):
        await floor.room.keep(KeepAsked(worker_id=ME, is_stopping=True))


async def test_what_runs_is_what_the_store_knows() -> None:
    floor = Floor()
    floor.room.running.begin(ME, [lent(1), lent(2)])
    floor.clock.turn(1.0)
    floor.store.know(held(2), held(3))
    await floor.room.keep(KeepAsked(worker_id=ME))
    assert len(floor.room.running) == 2
    floor.clock.turn(1.0)
    floor.room.running.begin(ME, [lent(4)])  # later than the read that does not know it
    floor.room.running.align(ME, [], since=floor.clock())
    assert len(floor.room.running) == 1
