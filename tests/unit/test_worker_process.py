"""One worker process: its pipes, its lifeline, its log, its end; and what is around it."""

import asyncio
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from orderintake.work.process.backoff import Backoff
from orderintake_server import logger
from orderintake_server.errors import StartupFailed
from orderintake_server.supervisor.home import PREFIX, private_socket
from orderintake_server.supervisor.instructions import Instructions
from orderintake_server.supervisor.output import read_log
from orderintake_server.supervisor.process import WorkerProcess, start, told_end
from support.stub_worker import stand_in

TOLD = Instructions(
    handler="works",
    lifespan="",
    socket="/nowhere",
    drain_timeout=1.5,
    exception_text=True,
    scheduling="normal",
    log_format="text",
    log_level="info",
)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to the log."""
    written: list[str] = []
    monkeypatch.setattr(logger._lines, "write", written.append)  # noqa: SLF001
    stand_in(monkeypatch)
    return written


async def begin(handler: str) -> WorkerProcess:
    """Start a stand-in, and wait until it is ready."""
    process = await start(replace(TOLD, handler=handler, number=1, slots=8, worker_id="id"))
    assert await process.becomes_ready() == ""
    process.begin()
    return process


async def said(lines: list[str]) -> None:
    """Wait for a line of the log."""
    async with asyncio.timeout(10):
        while not lines:  # noqa: ASYNC110 - a list tells nobody of it
            await asyncio.sleep(0.01)


async def gone(pid: int) -> None:
    """Wait until a process runs no longer."""
    if psutil.pid_exists(pid):
        ended = await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)], 10)
        assert ended[1] == []


def test_instructions_arrive_as_they_were_given() -> None:
    told = replace(TOLD, number=2, slots=8, worker_id="a=b", lifeline=5, talk=6)
    assert Instructions.read(told.arguments()) == told


def test_a_process_waits_longer_after_each_death_until_it_lived_well() -> None:
    now = [0.0]
    backoff = Backoff(lambda: now[0])
    assert [backoff.delay() for _ in range(10)] == [
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        6.4,
        12.8,
        25.6,
        30,
    ]
    backoff.begin()
    now[0] += 59
    assert backoff.delay() == 30
    backoff.begin()
    now[0] += 60
    assert backoff.delay() == 0.1


def test_an_end_is_told_by_its_code_or_by_its_signal() -> None:
    assert [told_end(code) for code in (3, -9, -99)] == ["exit code 3", "SIGKILL", "signal 99"]


@pytest.mark.usefixtures("lines")
async def test_why_a_process_cannot_work_is_read_though_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, ended = WorkerProcess._read_report, threading.Event()  # noqa: SLF001

    def read_late(process: WorkerProcess, *given: Any) -> None:  # noqa: ANN401
        ended.wait(30)
        read(process, *given)

    monkeypatch.setattr(WorkerProcess, "_read_report", read_late)
    process = await start(replace(TOLD, handler="unusable", number=1, slots=8, worker_id="id"))
    process.ended.add_done_callback(lambda _: ended.set())
    assert "no such thing" in await process.becomes_ready()


@pytest.mark.seconds
async def test_w14_the_end_of_the_server_ends_a_process_that_holds_pythons_lock_and_its_group(
    lines: list[str],
) -> None:
    process = await begin("spins")
    await said(lines)
    os.close(process._alive)  # noqa: SLF001 - as the kernel does when the server ends
    process._alive = os.dup(2)  # noqa: SLF001
    assert await process.ended == -9
    await gone(int(lines[0]))


@pytest.mark.seconds
async def test_who_dies_leaves_nothing_of_its_group_behind(lines: list[str]) -> None:
    process = await begin("leaves")
    assert await process.ended == -9
    await process.log_is_read(5)
    await gone(int(lines[0]))


async def test_a_process_has_nothing_of_the_servers_but_its_pipes(lines: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        process = await begin("works")
        sockets = psutil.Process(process.pid).net_connections()
        assert sockets == []
        assert os.getpgid(process.pid) == process.pid
        process.stop()
        assert await process.ended == 0


async def test_what_it_logs_is_passed_on_and_cannot_speak_to_a_terminal(lines: list[str]) -> None:
    process = await begin("logs")
    process.stop()
    await process.ended
    await process.log_is_read(5)
    logged = "\n".join(lines).splitlines()
    assert logged == ['{"event": "baking", "worker": 1}', r"not an entry \x1b[2J"]


def test_in_json_a_line_that_is_no_entry_becomes_one(lines: list[str]) -> None:
    reading, writing = os.pipe()
    os.write(writing, b'{"event": "baking"}\n[1]\n{"event": 2}\n\nlast oik_secret')
    os.close(writing)
    read_log(reading, "json")
    assert lines[0] == '{"event": "baking"}'
    assert [
        text in line for text, line in zip(("[1]", '"event": 2', "last"), lines[1:], strict=True)
    ]
    assert "oik_secret" not in lines[-1]


def test_a_very_long_line_is_cut(lines: list[str]) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen([sys.executable, "-c", "print('x' * 300_000)"], stdout=writing):
        os.close(writing)
        read_log(reading, "text")
    assert max(map(len, lines)) <= 2 * 64 * 1024
    assert sum(map(len, lines)) == 300_000


async def test_the_socket_is_in_a_directory_that_nobody_else_can_enter() -> None:
    async with private_socket() as path:
        assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700
    assert not Path(path).parent.exists()


async def test_what_a_killed_server_left_behind_is_removed_and_what_is_used_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as place:  # its path is short
        monkeypatch.setattr(tempfile, "tempdir", place)
        left, used, empty = (Path(place, f"{PREFIX}{name}") for name in ("left", "used", "empty"))
        for directory in (left, used, empty):
            directory.mkdir()
        with socket.socket(socket.AF_UNIX) as gone_one, socket.socket(socket.AF_UNIX) as live:
            for one, directory in ((gone_one, left), (live, used)):
                one.bind(str(directory / "work.sock"))
            live.listen()
            async with private_socket():
                pass
        assert sorted(os.listdir(place)) == sorted([empty.name, used.name])  # noqa: PTH208


async def test_a_path_that_is_too_long_for_a_socket_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(StartupFailed, match="TMPDIR is too long"):
        async with private_socket():
            pass
    assert list(long.iterdir()) == []
