"""W6 and W8: who is silent for longer than its lease, by a clock of what can be heard."""

import asyncio
from collections.abc import Callable

import pytest

from orderintake_server.holders import TakenBack, WorkerRow
from orderintake_server.work.life import Life
from support.clocks import Seconds
from support.work_room import ME, Floor


def living(clock: Callable[[], float], limit: int = 10) -> Life:
    """Make the life of workers with a lease of 30 s."""
    return Life(lease_seconds=30, limit=limit, clock=clock)


def passing(life: Life, clock: Seconds, seconds: int) -> list[str]:
    """Let seconds pass; return who was silent for too long at the last of them."""
    silent: list[str] = []
    for _ in range(seconds):
        clock.turn(1.0)
        silent = life.tick()
    return silent


def test_who_is_silent_for_longer_than_its_lease_is_dead() -> None:
    clock = Seconds()
    life = living(clock)
    life.hear("a")
    assert passing(life, clock, 30) == []
    life.hear("b")
    assert passing(life, clock, 1) == ["a"]
    assert life.ages() == {"a": 31.0, "b": 1.0}


def test_every_call_is_a_sign_of_life() -> None:
    clock = Seconds()
    life = living(clock)
    for _ in range(100):
        life.hear("a")
        assert passing(life, clock, 30) == []


def test_who_has_a_call_that_waits_is_alive_and_has_time_for_the_next() -> None:
    clock = Seconds()
    life = living(clock)
    life.hear("a")
    with life.waiting("a"):
        assert passing(life, clock, 40) == []
        assert life.ages() == {"a": 0.0}
    assert life.ages() == {"a": 10.0}
    assert passing(life, clock, 20) == []
    assert passing(life, clock, 1) == ["a"]
    life.hear("a")
    with life.waiting("a"):
        assert passing(life, clock, 5) == []
    assert passing(life, clock, 25) == []
    assert passing(life, clock, 1) == ["a"]


def test_who_leaves_while_its_call_waits_gets_no_time_for_that() -> None:
    clock = Seconds()
    life = living(clock)
    life.hear("a")
    call = life.waiting("a")
    call.__enter__()
    assert passing(life, clock, 40) == []
    left = asyncio.CancelledError()
    assert not call.__exit__(type(left), left, None)
    assert passing(life, clock, 1) == ["a"]


def test_it_is_dead_until_it_is_buried_or_heard() -> None:
    clock = Seconds()
    life = living(clock)
    life.hear("a")
    assert passing(life, clock, 31) == passing(life, clock, 1) == ["a"]
    life.hear("a")
    assert passing(life, clock, 1) == []
    life.forget("a")
    assert len(life) == 0


def test_w8_a_frozen_server_counts_a_second() -> None:
    clock = Seconds()
    life = living(clock)
    life.hear("a")
    clock.turn(600.0)
    assert life.tick() == []
    assert life.ages() == {"a": 1.0}


def test_w8_nothing_counts_before_the_port_opens() -> None:
    clock = Seconds()
    life = living(clock)
    life.know([("a", 8)])
    clock.turn(0.9)
    life.open()
    assert passing(life, clock, 30) == []
    assert life.capacity == 8


def test_w8_nothing_counts_while_the_store_is_away() -> None:
    clock = Seconds()
    life = living(clock)
    life.hear("a")
    life.is_counting = lambda: False
    assert passing(life, clock, 100) == []
    life.is_counting = lambda: True
    assert passing(life, clock, 30) == []
    assert passing(life, clock, 1) == ["a"]


def test_the_capacity_of_all_is_told_when_it_changes() -> None:
    told: list[int] = []
    life = living(Seconds())
    life.on_capacity = told.append
    life.hear("a")
    life.hear("a", 16)
    life.hear("a", 16)
    life.hear("b", 4)
    life.forget("a")
    assert told == [16, 20, 4]


async def bury(floor: Floor, *silent: str) -> None:
    """Let a room hear that these are silent, and do what it does then."""
    found: asyncio.Queue[list[str]] = asyncio.Queue(maxsize=1)
    floor.life.silent = found.get  # type: ignore[method-assign]
    burying = asyncio.create_task(floor.room.bury_silent())
    for each in [*silent], [], []:  # when there is room for the last, the first is done
        await found.put(each)
    burying.cancel()


@pytest.mark.parametrize(
    ("about", "buried"), [({}, [ME]), ({"is_ended": True}, []), (None, [])], ids=str
)
async def test_w6_who_is_silent_is_buried_unless_it_has_ended(
    about: dict[str, object] | None, buried: list[str]
) -> None:
    floor = Floor()
    if about is not None:
        floor.store.know(**about)
    floor.life.hear(ME)
    await bury(floor, *passing(floor.life, floor.clock, 31))
    assert floor.committer.buried == buried
    assert floor.meters.work.deaths == len(buried)
    assert ME not in floor.life


async def test_w5_who_is_heard_while_others_are_buried_is_not() -> None:
    floor = Floor()
    floor.store.know()
    floor.life.hear(ME)
    silent = passing(floor.life, floor.clock, 31)
    floor.life.hear(ME)
    await bury(floor, *silent)
    assert floor.committer.buried == []
    assert ME in floor.life


async def test_w6_the_silent_are_buried_at_once_and_who_is_heard_meanwhile_lives_on() -> None:
    floor = Floor()
    for name in ("a", "b"):
        floor.life.hear(name)
        floor.store.rows[name] = WorkerRow(worker_id=name, since=1)
    passing(floor.life, floor.clock, 31)
    asked, again, committed = asyncio.Queue[str](), asyncio.Event(), asyncio.Event()
    rounds = iter([["a", "b"]])

    async def silent() -> list[str]:
        for found in rounds:
            return found
        again.set()
        return await asyncio.Future()

    async def bury(worker_id: str) -> list[TakenBack]:
        asked.put_nowait(worker_id)
        await committed.wait()
        return []

    floor.life.silent, floor.committer.bury = silent, bury  # type: ignore[method-assign]
    burying = asyncio.create_task(floor.room.bury_silent())
    assert {await asked.get(), await asked.get()} == {"a", "b"}
    floor.clock.turn(1.0)
    floor.life.tick()
    floor.life.hear("a")
    committed.set()
    await again.wait()
    assert ("a" in floor.life, "b" in floor.life) == (True, False)
    burying.cancel()
    await asyncio.wait([burying])
