"""W14: where cores are few, the intake comes first with the system's scheduler."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from orderintake_server.supervisor.start import NICENESS
from support.handler_fuzz import ends
from support.orders import order
from support.process import ServerProcess, run_to_end
from support.supervised import supervising, workers

pytestmark = pytest.mark.seconds

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it for each thread")

REFUSING = """
import os
def refuse(*_):
    raise PermissionError(1, "not permitted")
os.sched_setscheduler = refuse
"""
LACKING = "import os; del os.SCHED_IDLE"


def threads(server: ServerProcess) -> list[int]:
    """Give the threads of all its worker processes."""
    return [thread.id for worker in workers(server) for thread in worker.threads()]


async def test_w14_where_cores_are_few_the_intake_comes_first(tmp_path: Path) -> None:
    async with supervising("sqlite", tmp_path, processes=2) as (server, _):
        own = psutil.Process(server.pid).nice()
        assert [worker.nice() for worker in workers(server)] == 2 * [own + NICENESS]


@on_linux
async def test_w14_each_thread_of_a_handler_weighs_less_than_the_intake(tmp_path: Path) -> None:
    async with supervising("sqlite", tmp_path, processes=2) as (server, stub):
        await ends(stub, [order()] * 8)
        own = psutil.Process(server.pid).nice()
        of_each = {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads(server)}
        assert of_each == {own + NICENESS}
        assert {os.sched_getscheduler(thread) for thread in threads(server)} == {os.SCHED_OTHER}


@on_linux
async def test_w14_handlers_may_have_only_what_nothing_else_wants(tmp_path: Path) -> None:
    given = ("--worker-scheduling", "idle")
    async with supervising("sqlite", tmp_path, *given, processes=2) as (server, stub):
        await ends(stub, [order()] * 8)
        assert {os.sched_getscheduler(thread) for thread in threads(server)} == {os.SCHED_IDLE}
        assert os.sched_getscheduler(server.pid) == os.SCHED_OTHER
        assert await server.stops() == 0


def test_a_process_gives_way_before_it_loads_anything() -> None:
    code = """
import sys
from orderintake_server.supervisor import start
print(start.NICENESS, *{"asyncio", "grpc", "orderintake", "structlog"} & sys.modules.keys())
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said.split() == [str(NICENESS)]


@on_linux
@pytest.mark.parametrize("at_start", [REFUSING, LACKING])
def test_a_system_that_does_not_do_it_ends_the_start(tmp_path: Path, at_start: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(at_start)
    given = ("--listen", "127.0.0.1:0", "--worker-processes", "1", "--worker-scheduling", "idle")
    end = run_to_end(*given, env={"PYTHONPATH": str(tmp_path)})
    assert end.returncode == 1
    assert "worker_scheduling: this system does not do idle" in end.stderr.splitlines()[-1]
