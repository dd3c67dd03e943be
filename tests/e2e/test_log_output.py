"""The log is a side channel: whatever becomes of it, the service goes on and ends as it should."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import IO, Any

import grpc
import pytest

from orderintake.v1 import order_pb2
from support.in_process import Stub, completions
from support.orders import order
from support.process import EXIT_SECONDS, TESTS, run_to_end, serving_process
from support.program import free_port
from support.refusals import refused

COMMAND = str(Path(sys.executable).parent / "orderintake-server")
DROPPED = "log lines were dropped: they could not be written"
FAILING = ("--handler", "support.handlers:by_sku", "--max-attempts", "1")


@contextmanager
def _full() -> Iterator[IO[bytes]]:
    """Open a disk that is full."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        yield full


@contextmanager
def _server(
    data: Path,
    *arguments: str,
    stderr: int | IO[Any],
    prefix: tuple[str, ...] = (),
    stdout: int | None = None,
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a server whose standard error is this, on a port that the test chose."""
    address = f"127.0.0.1:{free_port()}"
    command = [COMMAND, "--data", str(data), "--listen", address, "--log-format", "json"]
    process = subprocess.Popen(
        [*prefix, *command, *arguments],
        stderr=stderr,
        stdout=stdout,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    try:
        yield process, address
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


async def _fails_orders(address: str, count: int = 20) -> None:
    """Place orders that fail, each with an entry in the log, and wait for their ends."""
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 30)
        stub = Stub(channel)
        for _ in range(count):
            await stub.PlaceOrder(order("raise"))
        ended = await completions(stub, count)
    assert {each.order.state for each in ended} == {order_pb2.STATE_FAILED}


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(SIGTERM)
    return process.wait(EXIT_SECONDS)


@pytest.mark.seconds
async def test_a_reader_that_goes_away_costs_only_the_log(tmp_path: Path) -> None:
    with _server(tmp_path, *FAILING, stderr=subprocess.PIPE) as (process, address):
        assert process.stderr is not None
        await asyncio.to_thread(process.stderr.readline)
        process.stderr.close()
        await _fails_orders(address)
        assert await asyncio.to_thread(_exit_code, process) == 0


@pytest.mark.seconds
async def test_a_full_disk_costs_only_the_log(tmp_path: Path) -> None:
    with (
        _full() as full,
        _server(tmp_path, *FAILING, stderr=full) as (process, address),
    ):
        await _fails_orders(address)
        assert await asyncio.to_thread(_exit_code, process) == 0


@pytest.mark.seconds
@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-", "1>/dev/full 2>/dev/full"])
async def test_descriptors_closed_at_start_are_open_on_nothing(tmp_path: Path, closed: str) -> None:
    prefix = ("sh", "-c", f'exec "$@" {closed}', "sh")
    arguments = (*FAILING[2:], "--handler", "support.handlers:by_sku")
    with _server(tmp_path, *arguments, stderr=subprocess.DEVNULL, prefix=prefix) as (
        process,
        address,
    ):
        await _fails_orders(address, 3)
        held = await asyncio.to_thread(_held, process.pid)
        assert await asyncio.to_thread(_exit_code, process) == 0
    if "full" not in closed:
        assert held[0] == "/dev/null" or "0<&-" not in closed
        assert held[1] == "/dev/null" or "1>&-" not in closed
    assert held[2].startswith("pipe:")


@pytest.mark.seconds
async def test_a_log_that_nobody_reads_holds_nobody_up_and_tells_what_it_lost(
    tmp_path: Path,
) -> None:
    arguments = ("--handler", "support.loud:much")
    with _server(tmp_path, *arguments, stderr=subprocess.PIPE) as (process, address):
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            stub = Stub(channel)
            for _ in range(3):
                await stub.PlaceOrder(order())
            assert len(await asyncio.wait_for(completions(stub, 3), 20)) == 3
        assert process.stderr is not None
        lines = await asyncio.to_thread(_read_until, process.stderr, DROPPED)
        entries = [json.loads(line) for line in lines]
        assert entries[-1]["count"] > 1_000
        assert len(entries) < 1_000
        assert await asyncio.to_thread(_exit_code, process) == 0


@pytest.mark.seconds
async def test_a_log_that_nobody_reads_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    arguments = ("--handler", "support.loud:much")
    with _server(tmp_path, *arguments, stderr=subprocess.PIPE) as (process, address):
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            await Stub(channel).PlaceOrder(order())
            await completions(Stub(channel), 1)
        assert await asyncio.to_thread(_exit_code, process) == 0


def _held(pid: int) -> list[str]:
    """Tell what the descriptors 0 to 2 of a process are open on."""
    return [str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)]


def _read_until(log: IO[bytes], event: str) -> list[bytes]:
    lines = []
    for line in log:
        lines.append(line)
        if event.encode() in line:
            break
    return lines


@pytest.mark.seconds
@pytest.mark.parametrize("handler", ["every_way", "forgotten"])
async def test_every_line_of_a_json_log_is_json_whoever_writes_it(
    tmp_path: Path, handler: str
) -> None:
    arguments = ("--handler", f"support.loud:{handler}")
    async with serving_process(tmp_path, *arguments) as (server, stub):
        await stub.PlaceOrder(order())
        (ended,) = await completions(stub, 1)
        assert await server.stops() == 0
    assert ended.order.state == order_pb2.STATE_SUCCEEDED, server.log
    assert all({"level", "timestamp"} <= set(entry) for entry in server.log), server.log
    texts = {
        "every_way": {
            "printed",
            "in pieces, one line",
            "and another",
            "written to the descriptor \\xff",
            "by a child",
            "logged by logging",
            "logged %d",
            "unspeakable %s",
            "lines\nin an event\x1b[31m",
            "uncaught exception in a thread",
        },
        "forgotten": {"told by asyncio"},
    }[handler]
    assert texts <= {str(event) for event in server.events()}
    part = {"every_way": "a warning", "forgotten": "Future exception was never retrieved"}[handler]
    assert part in str(server.events())


@pytest.mark.seconds
async def test_the_words_at_a_bad_end_are_json_too(tmp_path: Path) -> None:
    async with serving_process(tmp_path) as (server, _):
        for arguments in (
            ("--listen", server.address, "--data", str(tmp_path / "other")),
            ("--workers", "many"),
            ("--no-such-flag",),
        ):
            ended = await asyncio.to_thread(run_to_end, *arguments, "--log-format", "json")
            assert ended.returncode in {1, 2}
            assert [json.loads(line)["level"] for line in ended.stderr.splitlines()]


@pytest.mark.seconds
async def test_a_refusal_is_a_refusal_whatever_the_log_does(tmp_path: Path) -> None:
    with (
        _full() as full,
        _server(tmp_path, stderr=full) as (_, address),
    ):
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await Stub(channel).PlaceOrder(order("\n"))
    assert refused(caught.value).reason == "INVALID_ORDER"


@pytest.mark.seconds
async def test_what_grpc_itself_tells_is_json_and_a_handlers_settings_change_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "shop.py").write_text(
        "import logging, structlog\n"
        "logging.basicConfig(force=True, format='%(message)s')\n"
        "structlog.reset_defaults()\n"
        "def handle(order):\n"
        "    structlog.configure(processors=[lambda *_: 1 / 0])\n"
        "    logging.warning('made')\n"
    )
    env = {"PYTHONPATH": str(tmp_path), "GRPC_VERBOSITY": "DEBUG", "GRPC_TRACE": "call_error"}
    async with serving_process(tmp_path, "--handler", "shop:handle", env=env) as (server, stub):
        await stub.PlaceOrder(order())
        await completions(stub, 1)
        assert await server.stops() == 0
    assert all({"level", "timestamp"} <= set(entry) for entry in server.log), server.log
    assert {"made", "stopped"} <= set(server.events())


@pytest.mark.seconds
async def test_a_variable_that_sets_nothing_is_told_without_its_value(tmp_path: Path) -> None:
    env = {"ORDERINTAKE_WORKER": "secret"}
    async with serving_process(tmp_path, env=env) as (server, _):
        assert await server.stops() == 0
    (told,) = [e for e in server.log if e["event"] == "unknown variable; it sets nothing"]
    assert (told["name"], told["nearest"]) == ("ORDERINTAKE_WORKER", "ORDERINTAKE_WORKERS")
    assert "secret" not in str(server.log)


@pytest.mark.seconds
@pytest.mark.parametrize("output", ["full", "closed", "unread"])
async def test_a_handler_may_print_whatever_becomes_of_it(tmp_path: Path, output: str) -> None:
    reading, writing = os.pipe()
    target = {"full": "1>/dev/full", "closed": "1>&-", "unread": ""}[output]
    prefix = ("sh", "-c", f'exec "$@" {target}', "sh")
    with _server(
        tmp_path,
        *("--handler", "support.loud:prints"),
        stderr=subprocess.DEVNULL,
        prefix=prefix,
        stdout=writing,
    ) as (process, address):
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            await Stub(channel).PlaceOrder(order())
            (ended,) = await asyncio.wait_for(completions(Stub(channel), 1), 20)
        assert await asyncio.to_thread(_exit_code, process) == 0
    os.close(reading)
    os.close(writing)
    assert ended.order.state == order_pb2.STATE_SUCCEEDED
