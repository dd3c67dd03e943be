"""P1: a full disk is waited for, a broken file ends the server; neither costs an accepted order."""

import asyncio
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.store.sqlite.database import NAME
from support.in_process import Stub, completions
from support.orders import order
from support.process import run_to_end, serving_process
from support.refusals import Refused, refused
from support.remote_gate import remote_gate

DISK = "size=4m"
BULK = {str(key): "x" * 256 for key in range(16)}
MANY = 200
"""Orders with BULK in them that no disk of this size takes."""


class SmallDisk:
    """A disk of 4 MiB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave no room."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def make_room(self) -> None:
        """Take out what `fill` put in."""
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = shutil.which("mount") or "mount"
    mounted = subprocess.run([mount, "-t", "tmpfs", "-o", DISK, "tmpfs", path], check=False)
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield SmallDisk(path)
    subprocess.run([shutil.which("umount") or "umount", "--lazy", path], check=True)


async def _place_until_refused(stub: Stub) -> tuple[list[str], Refused]:
    """Place bulky orders; tell which were acknowledged, and how the first other was refused."""
    acknowledged: list[str] = []
    try:
        for _ in range(MANY):
            receipt = await stub.PlaceOrder(order(labels=BULK))
            acknowledged.append(receipt.order.order_id)
    except grpc.aio.AioRpcError as error:
        return acknowledged, refused(error)
    raise AssertionError("the disk took everything")


@pytest.mark.seconds
async def test_p1_a_full_disk_refuses_orders_keeps_results_and_is_waited_for(
    disk: SmallDisk,
) -> None:
    async with remote_gate() as gate:
        arguments = ("--workers", "2", *gate.arguments)
        async with serving_process(disk.path, *arguments, env=gate.env) as (server, stub):
            placed = [(await stub.PlaceOrder(order())).order.order_id for _ in range(3)]
            await gate.starts(2)
            disk.fill()
            more, refusal = await _place_until_refused(stub)
            await gate.let_through(100)
            again, _ = await _place_until_refused(stub)
            stands = await stub.GetOrder(api.GetOrderRequest(order_id=placed[0]))
            disk.make_room()
            stored = "the store can be written again; orders are accepted"
            await asyncio.to_thread(server.wait_for, stored)
            last = await stub.PlaceOrder(order(labels=BULK))
            placed += [*more, *again, last.order.order_id]
            found = await completions(stub, len(placed))
            assert await server.stops() == 0
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.reason == "STORAGE_UNAVAILABLE"
    assert refusal.retry_seconds
    assert refusal.pushback_ms == str(round(refusal.retry_seconds * 1000))
    assert stands.order.state == order_pb2.STATE_PROCESSING
    assert sorted(c.order.order_id for c in found) == placed
    assert {c.order.attempt_count for c in found} == {1}
    assert all(c.HasField("result") for c in found)
    assert server.events().count("the store cannot be written; orders are refused") == 1


@pytest.mark.seconds
async def test_p19_a_stop_on_a_full_disk_loses_only_the_attempts(disk: SmallDisk) -> None:
    async with remote_gate() as gate:
        arguments = ("--workers", "1", *gate.arguments)
        async with serving_process(disk.path, *arguments, env=gate.env) as (server, stub):
            first = (await stub.PlaceOrder(order())).order.order_id
            await gate.starts(1)
            disk.fill()
            rest, _ = await _place_until_refused(stub)
            await gate.let_through(1)
            assert await server.stops() == 0
        full = run_to_end("--data", str(disk.path), "--listen", "127.0.0.1:0")
        disk.make_room()
        async with serving_process(disk.path) as (_, stub):
            found = await completions(stub, 1 + len(rest))
    assert full.returncode == 1
    assert f"cannot open the store {disk.path / NAME}: database or disk is full" in full.stderr
    assert [c.order.order_id for c in found] == [first, *rest]
    assert [c.order.attempt_count for c in found] == [2] + [1] * len(rest)


@pytest.mark.seconds
@pytest.mark.parametrize("size", [1_000_000, 1_048_576])  # in the middle of a page, and between two
async def test_p1_a_limit_of_the_size_of_files_is_a_full_disk(tmp_path: Path, size: int) -> None:
    async with remote_gate() as gate:
        arguments = ("--workers", "1", *gate.arguments)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            first = (await stub.PlaceOrder(order())).order.order_id
            await gate.starts(1)
            unlimited = resource.RLIM_INFINITY
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, unlimited))
            placed, refusal = await _place_until_refused(stub)
            await gate.let_through(MANY)
            await _place_until_refused(stub)
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
            stored = "the store can be written again; orders are accepted"
            await asyncio.to_thread(server.wait_for, stored)
            found = await completions(stub, 1 + len(placed))
            assert await server.stops() == 0
    assert (refusal.reason, refusal.code.name) == ("STORAGE_UNAVAILABLE", "UNAVAILABLE")
    assert {c.order.order_id for c in found} >= {first, *placed}
    assert {c.order.attempt_count for c in found} == {1}


PAGE = 4096
GARBAGE = {"overwritten": b"\xff" * PAGE, "cut off": bytes(PAGE)}
"""What stands in a page after each kind of damage; SQLite makes zeros of what was cut off."""
BATCHES, BATCH = 40, 1_000
"""Orders of 1 KiB: more than SQLite's caches hold, so that it must read the damage."""


def _damage(path: Path, kind: str) -> bytes:
    """Spoil all of the file but its first page, under a running server; give what it was."""
    original = path.read_bytes()
    with path.open("r+b") as file:
        if kind == "cut off":
            file.truncate(PAGE)
        else:
            file.seek(PAGE)
            file.write(GARBAGE[kind] * (len(original) // PAGE - 1))
    return original


def _restore(path: Path, kind: str, original: bytes) -> None:
    """Put back every page that was spoiled, but not those that were written since."""
    left = path.read_bytes()
    with path.open("r+b") as file:
        for place in range(0, len(original), PAGE):
            if left[place : place + PAGE] in {b"", GARBAGE[kind]}:
                file.seek(place)
                file.write(original[place : place + PAGE])


async def _fill_store(data: Path) -> None:
    labels = {str(key): "x" * 250 for key in range(4)}
    async with serving_process(data, "--workers", "0") as (server, stub):
        for _ in range(BATCHES):
            requests = [order(labels=labels)] * BATCH
            await stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=requests))
        assert await server.stops() == 0


class Callers:
    """Callers who ask again at once, whatever they are answered, until the port is closed."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.refusals: set[str] = set()
        self.codes: set[grpc.StatusCode] = set()
        self.are_under_way = asyncio.Event()

    async def place(self, stub: Stub) -> None:
        """Place orders, as one of many."""
        while not self.codes:
            try:
                receipt = await stub.PlaceOrder(order())
            except grpc.aio.AioRpcError as error:
                self._note(error)
            else:
                self.acknowledged.append(receipt.order.order_id)
                self.are_under_way.set()

    def _note(self, error: grpc.aio.AioRpcError) -> None:
        if "grpc-status-details-bin" in dict(error.trailing_metadata() or ()):
            self.refusals.add(refused(error).reason)
        else:
            self.codes.add(error.code())


@pytest.mark.seconds
@pytest.mark.parametrize("kind", GARBAGE)
async def test_p1_a_broken_file_ends_the_server_and_nothing_acknowledged_is_missing(
    tmp_path: Path, kind: str
) -> None:
    await _fill_store(tmp_path)
    callers = Callers()
    async with remote_gate() as gate:
        arguments = ("--workers", "2", *gate.arguments)
        async with (
            serving_process(tmp_path, *arguments, env=gate.env) as (server, stub),
            asyncio.TaskGroup() as tasks,
        ):
            await gate.starts(2)
            for _ in range(32):
                tasks.create_task(callers.place(stub))
            await callers.are_under_way.wait()
            original = _damage(tmp_path / NAME, kind)
            await gate.let_through(MANY)
            code = await asyncio.to_thread(server.exit_code)
    assert code == 1
    assert "the store is broken; acknowledged orders are safe" in server.events()
    assert str(server.events()[-1]).startswith("orderintake-server: the store is broken: SQLITE_")
    assert callers.codes == {grpc.StatusCode.UNAVAILABLE}
    assert callers.refusals >= {"STORAGE_UNAVAILABLE"}
    assert callers.refusals <= {"STORAGE_UNAVAILABLE", "DRAINING"}
    _restore(tmp_path / NAME, kind, original)
    async with serving_process(tmp_path, "--workers", "0") as (_, stub):
        for order_id in callers.acknowledged:
            await stub.GetOrder(api.GetOrderRequest(order_id=order_id))
