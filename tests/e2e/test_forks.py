"""P21: a child that a handler forks hears its own signals and keeps nothing of the server."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from google.protobuf.struct_pb2 import Struct

from orderintake.v1 import order_pb2
from support.forking import ends
from support.in_process import Stub, completions
from support.orders import order
from support.process import TESTS, ServerProcess, run_to_end, serving_process
from support.replicas import replicas, until

pytestmark = pytest.mark.seconds

ONE = ("--max-attempts", "1", "--drain-timeout", "5")


def by(handler: str) -> tuple[str, ...]:
    return ("--handler", f"support.forking:{handler}", *ONE)


def pid_in(completion: order_pb2.Completion) -> int:
    """Read a child's pid."""
    result = Struct()
    assert completion.result.Unpack(result), completion
    return round(float(str(result["pid"])))


def is_alive(pid: int) -> bool:
    """Tell a process that runs from one that is gone, or was not waited for."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def held(pid: int) -> set[str]:
    """Tell what a process has open, beyond its standard streams."""
    found = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        if int(one.name) > 2:
            found.add(str(one.readlink()))
    return found


async def gone(pid: int) -> bool:
    return not is_alive(pid)


def waits(pid: int) -> Callable[[], Awaitable[bool]]:
    return lambda: gone(pid)


def without(pid: int, names: set[str]) -> Callable[[], Awaitable[bool]]:
    """Tell whether a process has none of these open; a child has, for a moment."""

    async def is_so() -> bool:
        return not held(pid) & names

    return is_so


async def child_of(stub: Stub) -> int:
    await stub.PlaceOrder(order())
    (end,) = await completions(stub, 1)
    return pid_in(end)


async def test_p21_ending_a_child_does_not_stop_the_server(tmp_path: Path) -> None:
    # One worker: multiprocessing in several threads takes the exit codes of each other's children.
    arguments = (*by("ends_its_child"), "--workers", "1")
    async with serving_process(tmp_path, *arguments) as (server, stub):
        for _ in range(20):
            await stub.PlaceOrder(order())
        found = await completions(stub, 20)
        assert {end.order.state for end in found} == {order_pb2.STATE_SUCCEEDED}
        assert "stopping" not in server.events()
        assert await server.stops() == 0


FORKING = ["starts_a_child", "uses_a_pool", "forks", "forks_in_the_loop", "forks_twice"]


@pytest.mark.parametrize("handler", FORKING)
async def test_p21_a_child_holds_nothing_of_the_server_and_ends_with_it(
    tmp_path: Path, handler: str
) -> None:
    async with serving_process(tmp_path, *by(handler)) as (server, stub):
        pid = await child_of(stub)
        assert is_alive(pid)
        files = {one for one in held(server.pid) if one.startswith(str(tmp_path))}
        assert {Path(one).name for one in files} >= {"server.lock", "orders.db", "orders.db-wal"}
        await until(without(pid, files | sockets_at(server)))
        assert (await stub.PlaceOrder(order())).order.order_id
        assert await server.stops() == 0
    await until(waits(pid))
    async with serving_process(tmp_path) as (server, _):
        assert server.is_running()


def sockets_at(server: ServerProcess) -> set[str]:
    """Name the sockets with the server's port, as /proc does."""
    port = f"{int(server.address.rpartition(':')[2]):04X}"
    found = {inode for local, inode in inet_sockets() if local.endswith(f":{port}")}
    assert found
    return found


def inet_sockets() -> list[tuple[str, str]]:
    """Tell every inet socket there is: its local address, and its name in /proc."""
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table]
    return [(line[1], f"socket:[{line[9]}]") for line in lines]


async def test_p21_a_child_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    async with serving_process(tmp_path, *by("starts_a_child")) as (server, stub):
        pid = await child_of(stub)
        server.kill()
    await until(waits(pid))


async def test_p21_a_child_that_comes_out_of_the_handler_ends(tmp_path: Path) -> None:
    for handler in ("forks", "forks_in_the_loop", "awaits_in_the_child"):
        data = tmp_path / handler
        async with serving_process(data, *by(handler), "--workers", "1") as (server, stub):
            await stub.PlaceOrder(order(labels={"seconds": "0.01"}))
            (end,) = await completions(stub, 1)
            await until(waits(pid_in(end)))
            for _ in range(5):
                await stub.PlaceOrder(order(labels={"seconds": "0.01"}))
            ends = await completions(stub, 6)
            assert [one.order.start_sequence for one in ends] == list(range(1, 7))
            assert await server.stops() == 0


@pytest.mark.parametrize(("sku", "code"), [("exit", 7), ("error", 1)])
async def test_p21_what_a_child_raises_is_its_own_end(tmp_path: Path, sku: str, code: int) -> None:
    async with serving_process(tmp_path, *by("raises_in_the_child")) as (server, stub):
        await stub.PlaceOrder(order(sku))
        (end,) = await completions(stub, 1)
        assert pid_in(end) == code
        assert await server.stops() == 0


async def test_p21_a_child_holds_no_connection_of_the_database() -> None:
    async with replicas(*by("forks")) as here:
        one = await here.start("one")
        receipt = await one.place(order())
        pid = pid_in(await one.completion(receipt))
        inet = {inode for _, inode in inet_sockets()}
        assert held(one.process.pid) & inet
        await until(without(pid, inet))
        assert await one.process.stops() == 0
    await until(waits(pid))


@pytest.mark.timeout(400)
async def test_p21_no_child_dies_of_what_its_server_left_in_it(tmp_path: Path) -> None:
    async with serving_process(tmp_path, *by("starts_many")) as (server, stub):
        await stub.PlaceOrder(order(labels={"children": "100"}))
        (end,) = await completions(stub, 1)
        result = Struct()
        assert end.result.Unpack(result)
        assert ends(result) == {"0": 100}
        assert await server.stops() == 0


@pytest.mark.slow  # under a tool that measures coverage its children hang now and then
@pytest.mark.timeout(400)
async def test_p21_nor_does_one_of_a_server_that_a_program_runs_beside_itself() -> None:
    program = (sys.executable, "-m", "support.forking_beside", "100")
    run = await asyncio.create_subprocess_exec(*program, cwd=TESTS, stdout=subprocess.PIPE)
    printed, _ = await run.communicate()
    assert printed.decode().splitlines()[-1] == "{'0': 100}"


def test_a_lock_that_is_left_behind_says_so(tmp_path: Path) -> None:
    with (tmp_path / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for pid, says in (("999999999", True), (str(os.getpid()), False)):
            (tmp_path / "server.lock").write_text(f"{pid}\n")
            end = run_to_end("--data", str(tmp_path), "--listen", "127.0.0.1:0")
            assert end.returncode == 1
            assert f"pid {pid}" in end.stderr
            assert ("left behind holds its lock" in end.stderr) is says
