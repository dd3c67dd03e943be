"""P19: the last calls wait until the server has begun to stop."""

import asyncio

import pytest

from orderintake_server.rpc import hold
from orderintake_server.rpc.hold import ShutdownGate


async def _call_without_end(
    place: ShutdownGate, tasks: asyncio.TaskGroup, calls: list[int]
) -> None:
    """Call again and again, not waiting for the answers."""
    while True:
        tasks.create_task(place.wait())
        calls.append(1)
        await asyncio.sleep(0)


async def test_calls_are_held_until_the_release() -> None:
    place = ShutdownGate()
    assert not place.is_on
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(place.wait())
        await place.begin()
        assert place.is_on
        assert not call.done()
        place.release()


async def test_callers_who_never_grow_quiet_are_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hold, "QUIET_SECONDS", 0.001)
    monkeypatch.setattr(hold, "MOST_SECONDS", 0.01)
    place, calls = ShutdownGate(), list[int]()
    async with asyncio.TaskGroup() as tasks:
        endless = tasks.create_task(_call_without_end(place, tasks, calls))
        await place.begin()
        endless.cancel()
        place.release()
    assert calls
