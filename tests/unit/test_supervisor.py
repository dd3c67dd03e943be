"""Worker processes: started, restarted, renewed and stopped; real ones, of a stand-in."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.typing import EventDict

from orderintake.work.process.backoff import Backoff
from orderintake_server.errors import StartupFailed
from orderintake_server.supervisor import supervisor as supervisors
from orderintake_server.supervisor.deaths import Charged
from orderintake_server.supervisor.instructions import Instructions
from orderintake_server.supervisor.supervisor import Supervisor, shares, supervised
from support.logs import capture_logs
from support.stub_worker import stand_in


class Taken:
    """Notes of which workers' orders were taken back, and how."""

    def __init__(self) -> None:
        self.died_ids: list[str] = []
        self.ended_ids: list[str] = []
        self.grown = asyncio.Event()

    def expect(self, worker_id: str) -> None:
        assert worker_id not in self.died_ids + self.ended_ids

    async def died(self, worker_id: str) -> Sequence[Charged]:
        self.died_ids.append(worker_id)
        self.grown.set()
        return [Charged(accept_sequence=7, crash_count=1, is_quarantined=False)]

    async def ended(self, worker_id: str) -> int:
        self.ended_ids.append(worker_id)
        self.grown.set()
        return 2


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    """The entries of the log."""
    with capture_logs() as entries:
        yield entries


def told(handler: str, tmp_path: Path, drain_timeout: float = 10) -> Instructions:
    """Instruct a stand-in."""
    return Instructions(
        handler=handler,
        lifespan="",
        socket=str(tmp_path / "socket"),
        drain_timeout=drain_timeout,
        exception_text=False,
        scheduling="normal",
        log_format="text",
        log_level="info",
    )


@asynccontextmanager
async def at_work(
    instructions: Instructions, deaths: Taken, *, processes: int = 1
) -> AsyncIterator[Supervisor]:
    """Have processes that are watched; drain them at the end."""
    given = supervised(instructions, deaths, processes=processes, slots=8)
    async with given as supervisor, asyncio.TaskGroup() as tasks:
        supervisor.watch(tasks)
        yield supervisor
        await supervisor.drain()


async def until(is_so: Callable[[], object]) -> None:
    """Wait for what processes do."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - what processes do is no event of ours
            await asyncio.sleep(0.005)


def pids(log: list[EventDict], event: str = "a worker process is ready") -> list[int]:
    """Tell of which processes the log has this entry."""
    return [entry["pid"] for entry in log if entry["event"] == event]


def test_slots_are_shared_out_evenly_and_no_process_is_without_one() -> None:
    assert shares(16, 2) == [8, 8]
    assert shares(16, 3) == [6, 5, 5]
    assert shares(2, 5) == [1, 1]


async def test_processes_are_ready_and_stop_in_order(tmp_path: Path, log: list[EventDict]) -> None:
    taken = Taken()
    async with at_work(told("works", tmp_path), taken, processes=2):
        assert [entry["slots"] for entry in log] == [4, 4]
    stopped = [entry for entry in log if entry["event"] == "a worker process stopped"]
    assert [(entry["end"], entry["returned"]) for entry in stopped] == [("exit code 0", 2)] * 2
    assert (taken.died_ids, len(taken.ended_ids)) == ([], 2)


async def test_one_that_cannot_work_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(StartupFailed, match="handler 'shop:gone' cannot be loaded: no such thing"):
        async with supervised(told("unusable", tmp_path), Taken(), processes=2, slots=8):
            pass


async def test_one_that_ends_at_its_start_ends_ours_with_how(tmp_path: Path) -> None:
    with pytest.raises(StartupFailed, match="it ended at its start: exit code 3"):
        async with supervised(told("ends", tmp_path), Taken(), processes=1, slots=8):
            pass


async def test_one_that_cannot_be_started_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "nothing"))
    with pytest.raises(StartupFailed, match=r"cannot be started: .*No such file"):
        async with supervised(told("works", tmp_path), Taken(), processes=1, slots=8):
            pass


async def test_w6_one_that_dies_is_charged_once_and_another_takes_its_place(
    tmp_path: Path, log: list[EventDict]
) -> None:
    taken = Taken()
    async with at_work(told("works", tmp_path), taken) as supervisor:
        (first,) = supervisor.living
        first.kill()
        await until(lambda: len(pids(log)) == 2)
        (second,) = supervisor.living
    assert taken.died_ids == [first.worker_id]
    assert taken.ended_ids == [second.worker_id]
    told_of = {entry["event"]: entry for entry in log}
    assert told_of["a worker process died"]["end"] == "SIGKILL"
    charged = told_of["an attempt ended with its worker process"]
    assert (charged["accept_sequence"], charged["crash_count"]) == (7, 1)


async def test_one_that_fails_again_and_again_is_started_later_each_time(
    tmp_path: Path, log: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []

    class Noted(Backoff):
        def delay(self) -> float:
            waits.append(super().delay())
            return 0.0

    monkeypatch.setattr(supervisors, "Backoff", Noted)
    async with at_work(told("once", tmp_path), Taken()) as supervisor:
        (first,) = supervisor.living
        first.kill()
        await until(lambda: len(waits) > 3)
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    reasons = {entry["reason"] for entry in log if "could not start" in entry["event"]}
    assert reasons == {"handler 'shop:gone' cannot be loaded: no such thing"}


async def test_a_system_that_starts_none_for_a_while_is_asked_again(
    tmp_path: Path, log: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_work(told("works", tmp_path), Taken()) as supervisor:
        (first,) = supervisor.living
        python = sys.executable
        monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
        first.kill()
        await until(lambda: any("could not start" in entry["event"] for entry in log))
        monkeypatch.setattr(sys, "executable", python)
        await until(lambda: len(pids(log)) == 2)


async def test_one_that_is_stuck_is_started_anew(tmp_path: Path, log: list[EventDict]) -> None:
    async with at_work(told("stuck", tmp_path), Taken()):
        await until(lambda: any("do not end" in entry["event"] for entry in log))
        await until(lambda: len(pids(log)) == 2)


async def test_a_silent_one_is_killed_by_its_id(tmp_path: Path, log: list[EventDict]) -> None:
    taken = Taken()
    async with at_work(told("deaf", tmp_path, drain_timeout=0), taken) as supervisor:
        (first,) = supervisor.living
        assert not supervisor.kill("another")
        assert supervisor.kill(first.worker_id)
        await until(lambda: taken.died_ids)
        for process in supervisor.living:
            process.kill()


async def test_a_renewal_replaces_one_after_the_other_each_when_the_next_is_ready(
    tmp_path: Path, log: list[EventDict]
) -> None:
    taken = Taken()
    async with at_work(told("works", tmp_path), taken, processes=2) as supervisor:
        supervisor.renew()
        supervisor.renew()  # one at a time
        await until(lambda: "worker processes have been renewed" in [one["event"] for one in log])
        one, two, three, four = pids(log)
        assert {process.pid for process in supervisor.living} == {three, four}
    assert taken.died_ids == []
    happened = [(entry["event"].split()[-1], entry.get("pid")) for entry in log]
    assert happened.index(("ready", three)) < happened.index(("stopped", one))
    assert happened.index(("stopped", one)) < happened.index(("ready", four))
    assert happened.index(("ready", four)) < happened.index(("stopped", two))


async def test_a_renewal_that_cannot_work_leaves_things_as_they_are(
    tmp_path: Path, log: list[EventDict]
) -> None:
    async with at_work(told("once", tmp_path), Taken(), processes=2) as supervisor:
        before = set(supervisor.living)
        supervisor.renew()
        await until(lambda: any("not renewed" in entry["event"] for entry in log))
        assert before <= set(supervisor.living)


async def test_w7_one_that_does_not_stop_is_killed_and_charged_with_nothing(
    tmp_path: Path, log: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisors, "LATE_SECONDS", 0.05)
    taken = Taken()
    async with at_work(told("deaf", tmp_path, drain_timeout=0), taken):
        pass
    assert (taken.died_ids, len(taken.ended_ids)) == ([], 1)
    ends = [entry["end"] for entry in log if entry["event"] == "a worker process stopped"]
    assert ends == ["SIGKILL"]
