"""Streams that one connection begins at once begin one after the other; others do not wait."""

import asyncio

import pytest

from orderintake_server.rpc.starts import FREE, STEP_SECONDS, Starts


class Time:
    """The time, as a test says, and for how long was slept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


async def _begin(starts: Starts, connection: str, count: int) -> None:
    for _ in range(count):
        await starts.turn(connection)


async def test_a_few_streams_begin_at_once_and_more_one_after_the_other(time: Time) -> None:
    starts = Starts(lambda: time.now)
    await _begin(starts, "one", FREE)
    assert time.slept == []
    await _begin(starts, "one", 3)
    assert time.slept == pytest.approx([STEP_SECONDS, 2 * STEP_SECONDS, 3 * STEP_SECONDS])


async def test_one_connection_does_not_wait_for_another(time: Time) -> None:
    starts = Starts(lambda: time.now)
    await _begin(starts, "one", FREE + 1)
    time.slept.clear()
    await _begin(starts, "other", FREE)
    assert time.slept == []


async def test_time_that_passed_is_not_waited_again(time: Time) -> None:
    starts = Starts(lambda: time.now)
    await _begin(starts, "one", 3 * FREE)
    time.slept.clear()
    time.now += 3 * FREE * STEP_SECONDS
    await _begin(starts, "one", FREE)
    assert time.slept == []


async def test_connections_that_began_nothing_of_late_are_forgotten(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = Starts(lambda: time.now)
    looks: list[object] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda _, look: looks.append(look))
    await _begin(starts, "one", 1)
    await _begin(starts, "two", 2 * FREE)
    assert len(looks) == 1
    time.now += STEP_SECONDS
    starts.forget()
    assert starts.connections == ["two"]
    time.now += 1
    starts.forget()
    assert starts.connections == []
