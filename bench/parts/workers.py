"""What an order costs where its handler runs: in the server's process, supervised, or elsewhere.

All in one run. With each stand the processor time of the server and that of its workers, and how
many calls the workers make; then how soon an order starts, at a steady rate and after a kill; what
idle workers cost; and how long a receipt takes while a handler blocks.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import crews
import grpc
import load
from crews import Crewed, Manned
from instant import BLOCK
from servers import Server, order_server, until
from turns import Case, Drive, Part, Start, Turn, timed

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_work_service_pb2 as work_api
from orderintake.v1 import order_work_service_pb2_grpc as work_grpc
from parts.core import seen

SLOTS = 16
ORDERS = 6_000
PER_SECOND = 500
IDLE, ON_A_CHANNEL = 1_000, 30
"""Each idle worker has two calls that wait; a connection may have 64."""
WATCHED_SECONDS = 12.0
CALL_SECONDS = 30.0
BLOCKING = api.PlaceOrderRequest()
BLOCKING.CopyFrom(load.REQUEST)
BLOCKING.labels["channel"] = BLOCK


def lives(manned: Manned, orders: int) -> Turn:
    """Place orders, each a call, and wait until all have ended."""
    server, before = manned.server, manned.server.completed()
    worked, called = manned.cpu_seconds(), manned.calls()

    def drive() -> Turn:
        calls = load.place(server.port, orders)
        server.wait_for(before + orders)
        return seen(calls)

    turn = timed(server, orders, drive)
    turn["worker_us"] = (manned.cpu_seconds() - worked) / orders * 1e6
    return turn | {"calls_each": (manned.calls() - called) / orders}


def paced(manned: Manned, orders: int) -> Turn:
    """Place orders at a steady rate, and wait until all have ended; tell who worked how much."""
    server, before = manned.server, manned.server.completed()
    cpu, worked, began = server.cpu_seconds(), manned.cpu_seconds(), time.monotonic()
    placing = load.paced(server.port, seconds=orders // PER_SECOND, per_second=PER_SECOND)
    server.wait_for(before + orders)
    seconds = time.monotonic() - began
    placing.wait()
    turn = {"cpu_us": (server.cpu_seconds() - cpu) / orders * 1e6}
    turn["cores"] = (server.cpu_seconds() - cpu) / seconds
    return turn | {"worker_cores": (manned.cpu_seconds() - worked) / seconds}


def started(manned: Manned, orders: int) -> Turn:
    """Place orders at a steady rate; tell how soon their handler is called."""
    manned.notes.unlink(missing_ok=True)
    turn = paced(manned, orders)
    late = [each.late * 1e3 for each in crews.noted(manned.notes, orders)]
    return turn | dict(zip(("p50_ms", "p99_ms"), load.middle_and_far(late), strict=True))


def killed(start: Callable[[], AbstractContextManager[Manned]], _: int) -> Turn:
    """Kill who has an order in process; tell after how many seconds it starts again."""
    with start() as manned:
        crews.place(manned.server, load.REQUEST)
        (first,) = crews.noted(manned.notes, 1)
        at = crews.kill(first.pid)
        return {"again_s": crews.noted(manned.notes, 2)[1].at - at}


def blocked(manned: Manned, orders: int) -> Turn:
    """Let a handler block its process; tell how long orders take that are placed meanwhile."""
    server, before = manned.server, manned.server.completed()
    crews.place(server, BLOCKING)
    until(lambda: server.started() > before, "it to start")
    turn = seen(load.place(server.port, orders, in_flight=4))
    server.wait_for(before + orders + 1)
    return turn


def idle(start: Callable[[], AbstractContextManager[Server]], count: int) -> Turn:
    """Tell what so many workers cost that wait for orders."""
    with start() as server:
        return load.run(_idling(server, count))


async def _idling(server: Server, count: int) -> Turn:
    async with _waiting(server, 100):
        await asyncio.sleep(2)
        memory = server.memory()
        async with _waiting(server, count):
            await asyncio.sleep(2)
            kib = (server.memory() - memory) / count / 1024
            cpu = server.cpu_seconds()
            await asyncio.sleep(WATCHED_SECONDS)
            cores = (server.cpu_seconds() - cpu) / WATCHED_SECONDS
    return {"kib_each": kib, "cores": cores}


class _waiting:  # noqa: N801 - a block
    """So many workers that wait for orders while inside, as any would: for 10 s, then again."""

    def __init__(self, server: Server, count: int) -> None:
        self._target = f"127.0.0.1:{server.port}"
        self._count = count
        self._channels: list[grpc.aio.Channel] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        for number in range(self._count):
            if number % ON_A_CHANNEL == 0:
                self._channels.append(grpc.aio.insecure_channel(self._target, options))
            stub: Any = work_grpc.OrderWorkServiceStub(self._channels[-1])
            self._tasks += [asyncio.create_task(each) for each in _one(stub)]
        await asyncio.sleep(0)

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for channel in self._channels:
            await channel.close()


def _one(stub: Any) -> Iterator[Any]:  # noqa: ANN401 - a stub of grpc.aio
    """Be a worker of one slot."""
    me = uuid.uuid4().hex
    keep = work_api.KeepLeasesRequest(worker_id=me, capacity=1)

    async def lease_on() -> None:
        call = 0
        while True:
            call += 1
            request = work_api.LeaseOrdersRequest(worker_id=me, call=call, slots=1)
            await stub.LeaseOrders(request, timeout=CALL_SECONDS)

    async def keep_on() -> None:
        while True:
            await stub.KeepLeases(keep, timeout=CALL_SECONDS)

    yield lease_on()
    yield keep_on()


class Anew:
    """Something that is started for each turn."""

    is_ours = False

    def __init__(self, start: Callable[[Path], AbstractContextManager[Any]]) -> None:
        """Start it in a folder of its own."""
        self._start = start

    @contextmanager
    def start(self, folder: Path, _: Path | None) -> Iterator[Callable[[], Any]]:
        """Give what starts it."""
        with ExitStack():
            yield lambda: self._begin(folder / uuid.uuid4().hex)

    def _begin(self, folder: Path) -> AbstractContextManager[Any]:
        folder.mkdir(mode=0o700)
        return self._start(folder)


def _idle_server(folder: Path) -> AbstractContextManager[Server]:
    return order_server(folder, "--workers", "0", "--worker-limit", "2000")


PLACES: dict[str, dict[str, Any]] = {
    "in process": {},
    "supervised": {"children": 1},
    "remote": {"man": crews.remote},
}
"""Where a handler runs, in Python; next, what is measured in each of them beside whole lives."""
TIMED: dict[str, tuple[str, Drive, int]] = {
    "started": ("note", started, 2_500),
    "100 ms": ("nap", paced, 2_500),
    "blocked": ("block", blocked, 40),
}
ALL_SERVERS: dict[str, Start] = {
    **{place: Crewed("handle", SLOTS, **how) for place, how in PLACES.items()},
    **({"Node": Crewed("handle", SLOTS, man=crews.node)} if crews.has_node() else {}),
    **{
        f"{what}, {place}": Crewed(handler, 64 if handler == "nap" else SLOTS, **how)
        for what, (handler, _, _) in TIMED.items()
        for place, how in PLACES.items()
    },
    "killed, supervised": Anew(
        lambda folder: Crewed("note_and_hang", 2, children=1).start(folder, None)
    ),
    "killed, remote": Anew(
        lambda folder: Crewed("note_and_hang", 2, man=crews.remote, men=2).start(folder, None)
    ),
    "idle": Anew(_idle_server),
}
PART = Part(
    told="An order where its handler runs: in the server's process, supervised, or elsewhere",
    servers=ALL_SERVERS,
    cases={
        **{
            place: Case(on=place, drive=lives, orders=ORDERS)
            for place in (*PLACES, "Node")
            if place in ALL_SERVERS
        },
        **{
            f"{what}, {place}": Case(on=f"{what}, {place}", drive=drive, orders=orders, fixed=True)
            for what, (_, drive, orders) in TIMED.items()
            for place in PLACES
        },
        **{
            f"killed, {place}": Case(on=f"killed, {place}", drive=killed, orders=1, fixed=True)
            for place in ("supervised", "remote")
        },
        "idle": Case(on="idle", drive=idle, orders=IDLE, fixed=True),
    },
    turns=3,
    warm_up=0.2,
)
