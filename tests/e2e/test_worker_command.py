"""The command `orderintake worker`, against a server in the test's process."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals

import grpc
import psutil
import pytest

from support.process import LoggedProcess, WorkerProcess, worker_process
from support.work_port import WorkPort, work_port

pytestmark = pytest.mark.seconds

DOES = ("--handler", "support.work_handlers:does", "--slots", "1")


@pytest.fixture
async def port() -> AsyncIterator[WorkPort]:
    async with work_port() as port:
        yield port


def worker(port: WorkPort, *arguments: str) -> AbstractContextManager[WorkerProcess]:
    """Run the command; kill it at the end."""
    return worker_process(port.address, *arguments)


async def said(process: LoggedProcess, event: str) -> dict[str, object]:
    """Wait for a line of its log."""
    return await asyncio.to_thread(process.wait_for, event)


async def ends(process: LoggedProcess) -> int:
    """Wait for its end."""
    return await asyncio.to_thread(process.exit_code)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGHUP])
async def test_a_signal_drains_it(port: WorkPort, number: Signals) -> None:
    lifespan = ("--lifespan", "support.work_handlers:resources")
    with worker(port, *DOES, *lifespan, "--drain-timeout", "0.1") as process:
        await port.place("wait")
        assert (await said(process, "waiting"))["resources"] == "a pool"
        assert await process.stops(number) == 0
    assert [each.WhichOneof("outcome") for each in port.desk.outcomes] == ["returned"]
    assert len(port.desk.ended) == 1
    assert process.events()[-2:] == ["stopped", "closed"]


async def test_a_second_signal_gives_all_back_within_a_second(port: WorkPort) -> None:
    with worker(port, *DOES, "--drain-timeout", "60") as process:
        await port.place("wait")
        await said(process, "waiting")
        process.signal(SIGTERM)
        process.signal(SIGTERM)  # a terminal and a supervisor may both send one
        await said(process, "stopping")
        await asyncio.sleep(1.0)
        assert process.is_running()
        began = time.monotonic()
        assert await process.stops(SIGTERM) == 0
        assert time.monotonic() - began < 1.5  # a second, and what an exit takes on a busy machine
    assert [each.WhichOneof("outcome") for each in port.desk.outcomes] == ["returned"]
    assert len(port.desk.ended) == 1


async def test_a_handler_that_blocks_the_loop_loses_no_lease_and_holds_up_no_stop(
    port: WorkPort,
) -> None:
    port.hold_seconds = 0.05
    with worker(port, *DOES) as process:
        await port.place("block")
        await said(process, "blocking")
        kept = len(port.desk.kept)
        await port.until(lambda: len(port.desk.kept) >= kept + 5)
        process.signal(SIGTERM)
        await port.until(lambda: port.desk.stopping)
        await asyncio.sleep(1.0)
        assert await process.stops(SIGTERM) == 0
    assert len(port.desk.ended) == 1
    assert list(port.desk.waiting) == ["block"]


async def test_with_half_of_its_slots_stuck_it_exits_with_75(port: WorkPort) -> None:
    port.timeout_seconds = 0.05
    with worker(port, "--handler", "support.work_handlers:hangs", "--slots", "2") as process:
        await port.place("a")
        assert await ends(process) == 75
    assert port.desk.outcomes[0].failed.code == "ATTEMPT_TIMEOUT"


async def test_what_a_handler_leaves_behind_does_not_end_it(port: WorkPort) -> None:
    with worker(port, *DOES) as process:
        await port.place("leave", "exit", "other")
        await port.completed(3)
        assert await process.stops() == 0
    assert "what a handler left behind cannot end the process" in process.events()


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        ((grpc.StatusCode.UNAUTHENTICATED, "who are you?"), "who are you?"),
        ((grpc.StatusCode.UNIMPLEMENTED, "no such method"), "an older server"),
    ],
)
async def test_a_refusal_ends_it_and_it_says_why(
    port: WorkPort, refusal: tuple[grpc.StatusCode, str], why: str
) -> None:
    port.refusal = refusal
    with worker(port, *DOES) as process:
        assert await ends(process) == 1
    assert why in str(process.events()[-1])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--handler", "support.nowhere:does"), "cannot be loaded"),
        (("--handler", "support.work_handlers:broken"), "cannot be called with one argument"),
        ((*DOES, "--lifespan", "support.work_handlers:broken"), "no database"),
        ((*DOES, "--ca", "/nowhere/ca.pem"), "/nowhere/ca.pem"),
    ],
)
async def test_what_cannot_work_ends_with_2_and_says_why(
    port: WorkPort, arguments: tuple[str, ...], why: str
) -> None:
    with worker(port, *arguments) as process:
        assert await ends(process) == 2
    assert why in str(process.events()[-1])


async def test_processes_that_die_are_started_anew_and_all_stop_together(port: WorkPort) -> None:
    with worker(port, *DOES, "--processes", "2", "--name", "shop") as process:
        await port.until(lambda: names(port) == {"shop/1", "shop/2"})
        workers = {each.worker_id for each in port.desk.kept}
        psutil.Process(process.pid).children()[0].kill()
        await port.until(lambda: len({each.worker_id for each in port.desk.kept}) > len(workers))
        assert await process.stops() == 0
    assert len(port.desk.ended) == 2
    assert "a process ended; another one is started" in process.events()


async def test_processes_drain_when_the_one_that_started_them_is_killed(port: WorkPort) -> None:
    with worker(port, *DOES, "--processes", "2") as process:
        await port.until(lambda: len({each.worker_id for each in port.desk.kept}) == 2)
        process.signal(SIGKILL)
        await port.until(lambda: len(port.desk.ended) == 2)


async def test_many_processes_of_a_handler_that_cannot_be_loaded_end_with_2(
    port: WorkPort,
) -> None:
    with worker(port, "--handler", "support.nowhere:does", "--processes", "2") as process:
        assert await ends(process) == 2


async def test_its_log_is_for_people_too(port: WorkPort) -> None:
    command = (sys.executable, "-m", "orderintake.work.command", "--server", port.address)
    process = LoggedProcess(*command, *DOES)
    await port.place("log")
    await port.completed(1)
    assert await process.stops() == 0
    (line,) = [str(each) for each in process.events() if "a line" in str(each)]
    assert "order_id=log customer_id=ada attempt=1" in line


def names(port: WorkPort) -> set[str]:
    """Tell what the workers are called that are known."""
    return {each.name for each in port.desk.kept}
