"""W6 and W8: who is silent for longer than its lease, by a clock of what can be heard."""

import asyncio
from collections.abc import Callable

from orderintake_server.domain import State
from orderintake_server.holders import TakenBack
from orderintake_server.work.life import Life
from support.clocks import Seconds
from support.logs import capture_logs
from support.work_room import Floor, key


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


async def test_w6_the_silent_are_buried_at_once_and_who_is_heard_meanwhile_lives_on() -> None:
    floor = Floor()
    for name in ("a", "b"):
        floor.life.hear(name)
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
        return [TakenBack(key(1), State.FAILED)] if worker_id == "b" else []

    floor.life.silent, floor.committer.bury = silent, bury  # type: ignore[method-assign]
    burying = asyncio.create_task(floor.room.bury_silent())
    assert {await asked.get(), await asked.get()} == {"a", "b"}
    floor.clock.turn(1.0)
    floor.life.tick()
    floor.life.hear("a")
    with capture_logs() as entries:
        committed.set()
        await again.wait()
    (entry,) = entries
    assert (entry["worker_id"], entry["orders"], entry["quarantined"]) == ("b", 1, 1)
    assert ("a" in floor.life, "b" in floor.life) == (True, False)
    burying.cancel()
    await asyncio.wait([burying])
