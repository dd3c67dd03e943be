"""Memory that a burst needed is given back once it is not needed any more."""

import asyncio
import threading

import pytest

from orderintake_server.rpc import memory

MIB = 1024 * 1024


class Process:
    """How much memory the process has, as a test says, and how often it was trimmed."""

    def __init__(self) -> None:
        self.bytes = 50 * MIB
        self.trims = 0
        self.is_trimmed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._looks: asyncio.Queue[None] = asyncio.Queue()

    def look(self) -> int:
        self._loop.call_soon_threadsafe(self._looks.put_nowait, None)
        return self.bytes

    async def looked_at(self, times: int) -> None:
        """Wait until its memory has been looked at so often from now on."""
        while not self._looks.empty():
            self._looks.get_nowait()
        for _ in range(times):
            await self._looks.get()

    def trim(self, _: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        self.trims += 1
        self._loop.call_soon_threadsafe(self.is_trimmed.set)
        return 1


@pytest.fixture
async def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    made = Process()
    monkeypatch.setattr(memory, "_resident_bytes", made.look)
    monkeypatch.setattr(memory, "_trim_function", lambda: made.trim)
    monkeypatch.setattr(memory, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(memory, "LEAST_SECONDS", 0.002)
    return made


async def test_a_process_that_has_grown_is_trimmed_for_what_it_has_grown_and_no_more(
    process: Process,
) -> None:
    async with memory.trimming():
        await process.looked_at(3)
        assert process.trims == 0
        process.bytes += 30 * MIB  # and stays so: it is in use
        await process.is_trimmed.wait()
        await process.looked_at(2 + memory.TRIMS)
        assert process.trims == memory.TRIMS


async def test_a_system_without_such_an_allocator_is_left_alone(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_trim_function", lambda: None)
    before = len(asyncio.all_tasks())
    async with memory.trimming():
        assert len(asyncio.all_tasks()) == before
