"""Signals: a stop that somebody asked for is one stop, and no order's crash."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM

import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.process.signals import MEANINGLESS, STOPS
from support.in_process import completions
from support.orders import order
from support.process import EXIT_SECONDS, server_process, serving_process
from support.remote_gate import remote_gate
from support.replicas import replicas


@pytest.mark.seconds
@pytest.mark.parametrize("second", [SIGTERM, SIGINT, SIGQUIT])
async def test_p19_signals_that_come_together_are_one_stop(
    tmp_path: Path, second: signal.Signals
) -> None:
    async with remote_gate() as gate:
        arguments = ("--drain-timeout", "3600", *gate.arguments)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            await stub.PlaceOrder(order())
            await gate.starts(1)
            for number in (SIGTERM, second, SIGINT, SIGTERM):
                server.signal(number)
            await asyncio.to_thread(server.wait_for, "stopping")
            await gate.let_through(1)
            assert await asyncio.to_thread(server.exit_code) == 0
    async with serving_process(tmp_path) as (server, stub):
        (ended,) = await completions(stub, 1)
    assert (ended.order.state, ended.order.attempt_count) == (order_pb2.STATE_SUCCEEDED, 1)


@pytest.mark.seconds
@pytest.mark.parametrize("end", ["killed", "second signal"])
async def test_p11_a_stop_that_was_asked_for_is_no_crash_however_it_ends(
    tmp_path: Path, end: str
) -> None:
    async with remote_gate() as gate:
        flags = ("--drain-timeout", "3600", "--log-level", "debug", "--max-crashes", "1")
        arguments = (*flags, *gate.arguments)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            placed = [await stub.PlaceOrder(order()) for _ in range(12)]
            await gate.starts(8)
            server.signal(SIGTERM)
            await asyncio.to_thread(server.wait_for, "stopping")
            if end == "killed":
                server.kill()
            else:
                await asyncio.to_thread(server.wait_for, "another signal ends at once")
                assert await server.stops() == 128 + SIGTERM
    async with serving_process(tmp_path, "--max-crashes", "1") as (server, stub):
        assert (server.log[0]["recovered"], server.log[0]["quarantined"]) == (8, 0)
        ended = await completions(stub, 12)
    assert {each.order.order_id for each in ended} == {each.order.order_id for each in placed}
    assert {each.order.state for each in ended} == {order_pb2.STATE_SUCCEEDED}


@pytest.mark.seconds
@pytest.mark.parametrize("end", ["killed", "second signal"])
async def test_p11_a_replica_that_was_asked_to_stop_crashes_no_order_however_it_ends(
    end: str,
) -> None:
    flags = ("--lease", "1", "--max-crashes", "1", "--drain-timeout", "3600")
    async with (
        asyncio.timeout(50),
        remote_gate() as gate_a,
        remote_gate() as gate_b,
        replicas(*flags) as here,
    ):
        a = await here.start("a", "--workers", "4", "--log-level", "debug", gate=gate_a)
        for _ in range(4):
            await a.place(order())
        await gate_a.starts(4)
        a.process.signal(SIGTERM)
        await a.logs("stopping")
        if end == "killed":
            a.process.kill()
        else:
            await a.logs("another signal ends at once")
            assert await a.process.stops() == 128 + SIGTERM
        b = await here.start("b", "--workers", "4", gate=gate_b)
        await gate_b.starts(4)
        counts = await here.ask(
            "SELECT DISTINCT attempt_count, crash_count FROM orderintake.leases"
        )
        await gate_b.let_through(4)
        ended = await completions(b.stub, 4)
    assert counts == "2|0"
    assert {each.order.state for each in ended} == {order_pb2.STATE_SUCCEEDED}


@pytest.mark.seconds
async def test_p11_a_crash_that_nobody_asked_for_counts(tmp_path: Path) -> None:
    async with remote_gate() as gate:
        arguments = ("--max-crashes", "1", *gate.arguments)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            await stub.PlaceOrder(order())
            await gate.starts(1)
            server.kill()
    with server_process(tmp_path, "--max-crashes", "1") as server:
        assert (server.log[0]["recovered"], server.log[0]["quarantined"]) == (0, 1)


@pytest.mark.seconds
async def test_a_hangup_is_ignored_where_there_never_was_a_terminal(tmp_path: Path) -> None:
    with server_process(tmp_path, prefix=("setsid",)) as server:
        server.signal(SIGHUP)
        entry = await asyncio.to_thread(server.wait_for, _IGNORED)
        assert entry["level"] == "info"
        assert await server.stops() == 0


@pytest.mark.seconds
async def test_p19_a_stop_is_heard_though_who_started_the_server_blocks_it(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys;"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals());"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    with server_process(tmp_path, prefix=(sys.executable, "-c", code)) as server:
        assert await server.stops() == 0


@pytest.mark.seconds
async def test_p22_a_signal_that_means_nothing_ends_nothing(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        for number in MEANINGLESS:
            server.signal(number)
            entry = await asyncio.to_thread(
                server.wait_for, "a signal is ignored: it means nothing here"
            )
            assert (entry["level"], entry["signal"]) == ("info", number.name)
        assert await server.stops(SIGQUIT) == 0
    assert server.events()[-1] == "stopped"


def test_p22_what_each_signal_does_is_known() -> None:
    known = {*STOPS, *MEANINGLESS, SIGHUP, *HEARD_BY_PYTHON, *LEFT_TO_THE_SYSTEM}
    real_time = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)
    assert {number for number in signal.valid_signals() if number not in real_time} == known


HEARD_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""Python ignores them."""
LEFT_TO_THE_SYSTEM = {
    # A fault of the process, or its end by force.
    *(signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV),
    *(signal.SIGSYS, signal.SIGKILL, signal.SIGXCPU, 16),  # 16: a fault of a coprocessor
    # It goes on later, or takes no notice by default.
    *(signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT),
    *(signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH),
}


_IGNORED = "SIGHUP is ignored: the terminal is still there, or there never was one"


@pytest.mark.seconds
def test_p19_a_terminal_that_goes_away_is_a_stop_in_order(tmp_path: Path) -> None:
    terminal, inside = os.openpty()
    process = subprocess.Popen(
        [
            *("setsid", "--ctty", str(Path(sys.executable).parent / "orderintake-server")),
            *("--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0"),
        ],
        stdin=inside,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(inside)
    assert process.stderr is not None
    with process.stderr as log:
        assert any("listening" in line for line in log)
        process.send_signal(SIGHUP)  # the terminal is still there
        assert any("SIGHUP is ignored" in line for line in log)
        os.close(terminal)
        assert "stopped" in list(log)[-1]
    assert process.wait(EXIT_SECONDS) == 0


@pytest.mark.seconds
async def test_p19_stops_in_order_leave_an_order_as_it_was(tmp_path: Path) -> None:
    async with remote_gate() as gate:
        arguments = ("--drain-timeout", "0", "--max-crashes", "2", *gate.arguments)
        for life in range(3):
            async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
                if not life:
                    await stub.PlaceOrder(order())
                await gate.starts(life + 1)
                assert await server.stops() == 0
        async with serving_process(tmp_path) as (_, stub):
            (ended,) = await completions(stub, 1)
            found = await stub.GetOrder(api.GetOrderRequest(order_id=ended.order.order_id))
    assert found.order.attempt_count == 1
    assert found.order.start_sequence == 4  # the contract says so: each start uses up a number
