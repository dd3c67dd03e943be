"""Our server with those who process its orders: in its process, supervised, or elsewhere."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import grpc
import load
import psutil
from instant import NOTES
from servers import Server, cpu_seconds, environment, order_server, until

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # how tests run Node, we do too
from support.node import NODE, install

ROOT = Path(__file__).parents[1]
WORKER_LEASE_SECONDS = 4.0
SERVER = (
    *("--http", "127.0.0.1:0", "--lease", "2"),
    *("--worker-lease", str(WORKER_LEASE_SECONDS)),
)
START_SECONDS = 20.0
_IN_NODE = "export default async function () {}\n"


@dataclass(frozen=True, kw_only=True)
class Manned:
    """A server and the processes of its workers."""

    server: Server
    folder: Path
    hands: list[int]
    """The processes of workers."""

    @property
    def notes(self) -> Path:
        """What its handler noted."""
        return self.folder / "notes"

    def cpu_seconds(self) -> float:
        """Tell how long its workers have run."""
        return sum(map(cpu_seconds, self.hands))

    def calls(self) -> float:
        """Tell how many calls workers have made."""
        metrics = load.get(self.server.metrics).decode().splitlines()
        ended = [line for line in metrics if line.startswith("orderintake_rpc_calls_total{")]
        of_work = ("LeaseOrders", "KeepLeases", "EndWorker")
        return sum(float(line.split()[-1]) for line in ended if any(map(line.count, of_work)))


Man = Callable[[Server, Path, str, int], "subprocess.Popen[bytes]"]


@dataclass(frozen=True)
class Crewed:
    """Our server and, on so many slots in all, a handler: in its process, or by workers."""

    handler: str
    """Of `instant`, or MODULE:NAME."""
    slots: int = 16
    children: int = 0
    """So many supervised processes share the slots."""
    man: Man | None = None
    """Starts a worker that is no child of the server."""
    men: int = 1
    options: tuple[str, ...] = ()
    """What else the server is told."""
    is_ours = False
    """Older trees have no workers."""

    @contextmanager
    def start(self, folder: Path, _: Path | None) -> Iterator[Manned]:
        """Run all of them."""
        handler = self.handler if ":" in self.handler else f"instant:{self.handler}"
        named = ("--handler", handler, "--workers", str(self.slots))
        own = (*named, "--worker-processes", str(self.children))
        options = ("--workers", "0") if self.man else own
        with (
            mock.patch.dict(os.environ, {NOTES: str(folder / "notes")}),
            order_server(folder / "data", *SERVER, *options, *self.options) as server,
            self._manned(server, folder) as hands,
        ):
            until(lambda: slots_of(server) == self.slots, "its workers", START_SECONDS)
            yield Manned(server=server, folder=folder, hands=hands)

    @contextmanager
    def _manned(self, server: Server, folder: Path) -> Iterator[list[int]]:
        if not self.man:
            yield [child.pid for child in psutil.Process(server.pid).children()]
            return
        share = self.slots // self.men
        hands = [self.man(server, folder, self.handler, share) for _ in range(self.men)]
        try:
            yield [hand.pid for hand in hands]
        finally:
            for hand in hands:
                hand.kill()
                hand.wait()


def remote(server: Server, _: Path, handler: str, slots: int) -> "subprocess.Popen[bytes]":
    """Start a worker in Python."""
    command = Path(sys.executable).parent / "orderintake"
    words = ("worker", "--handler", f"instant:{handler}", "--slots", str(slots))
    target = ("--server", f"127.0.0.1:{server.port}", "--log-level", "error")
    return subprocess.Popen([command, *words, *target], env=environment())


def node(server: Server, folder: Path, _: str, slots: int) -> "subprocess.Popen[bytes]":
    """Start one in Node, whose slots make a call for each order."""
    place = folder / "node"
    place.mkdir()
    if why := install(place):
        raise RuntimeError(why)
    place.joinpath("instant.mjs").write_text(_IN_NODE)
    words = (str(NODE), "work.mjs", f"127.0.0.1:{server.port}", "instant.mjs")
    env = os.environ | {"SLOTS": str(slots), "NODE_NO_WARNINGS": "1"}
    return subprocess.Popen([*words, str(ROOT / "protos")], cwd=place, env=env)


def has_node() -> bool:
    """Tell whether workers in Node can be started here."""
    return NODE is not None


def place(server: Server, request: api.PlaceOrderRequest) -> None:
    """Place one order."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        api_grpc.OrderIntakeServiceStub(channel).PlaceOrder(request, timeout=10)


def slots_of(server: Server) -> int:
    """Ask how many orders can be processed at once."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = admin_grpc.OrderAdminServiceStub(channel)
        return int(stub.GetQueueStats(admin.GetQueueStatsRequest(), timeout=10).workers)


class Noted(NamedTuple):
    """An attempt that began."""

    pid: int
    at: float
    late: float
    """How many seconds after its order was accepted."""


def noted(notes: Path, count: int, seconds: float = 60.0) -> list[Noted]:
    """Wait until so many attempts have begun; tell what was noted of each."""

    def read() -> list[Noted]:
        lines = notes.read_text().splitlines() if notes.exists() else []
        found = (line.split() for line in lines)
        return [Noted(int(pid), float(at), float(late)) for pid, at, late in found]

    until(lambda: len(read()) >= count, f"{count} attempts to begin", seconds)
    return read()


def kill(pid: int) -> float:
    """Kill a process; tell when."""
    os.kill(pid, signal.SIGKILL)
    return time.time()
