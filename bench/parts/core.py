"""What an order costs, beside the floors: a bare echo, a raw row, the article's own service."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import load
from servers import Server, until
from turns import Bare, Case, Drive, Folder, LeftOut, Ours, Part, Turn, timed

BATCH = 500


def working(workers: int) -> Ours:
    """Run our server with so many workers, whose orders are done at once."""
    return Ours(("--handler", "instant:handle", "--workers", str(workers)))


def echo(server: Server, calls: int, *, in_flight: int) -> Turn:
    """Call a bare server."""
    return timed(server, calls, lambda: seen(load.place(server.port, calls, in_flight=in_flight)))


def seen(calls: load.Calls) -> Turn:
    """Tell the latencies."""
    return {"p50_ms": calls.p50_ms, "p99_ms": calls.p99_ms}


def accepts(server: Server, orders: int, *, in_flight: int) -> Turn:
    """Place orders, each a call; each must be on the disk."""
    before = server.accepted()
    turn = echo(server, orders, in_flight=in_flight)
    if (found := server.accepted() - before) != orders:
        raise RuntimeError(f"{found} orders were stored, not {orders}")
    return turn


def lives(server: Server, orders: int, *, in_flight: int) -> Turn:
    """Place orders, each a call, and wait until all have ended."""
    before = server.completed()

    def drive() -> Turn:
        calls = load.place(server.port, orders, in_flight=in_flight)
        server.wait_for(before + orders)
        return seen(calls)

    return timed(server, orders, drive)


def batch_accepts(server: Server, orders: int, *, size: int = BATCH) -> Turn:
    """Place orders in batches."""
    return timed(server, orders, lambda: load.batches(server.port, orders, size=size))


def batch_lives(server: Server, orders: int, *, size: int = BATCH) -> Turn:
    """Place orders in batches, and wait until all have ended."""
    before = server.completed()

    def drive() -> None:
        load.batches(server.port, orders, size=size)
        server.wait_for(before + orders)

    return timed(server, orders, drive)


def placing(server: Server, orders: int, *, shape: load.Shape) -> Turn:
    """Place orders on PlaceOrders calls."""
    before = server.accepted()
    turn = timed(server, orders, lambda: _placing(server, orders, shape))
    if (found := server.accepted() - before) != orders:
        raise RuntimeError(f"{found} orders were stored, not {orders}")
    return turn


def placing_lives(server: Server, orders: int, *, shape: load.Shape) -> Turn:
    """Place orders on PlaceOrders calls, and wait until all have ended."""
    before = server.completed()

    def drive() -> None:
        _placing(server, orders, shape)
        server.wait_for(before + orders)

    return timed(server, orders, drive)


def _placing(server: Server, orders: int, shape: load.Shape) -> None:
    try:
        load.placing(server.port, orders, shape)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            raise LeftOut("that server has no PlaceOrders") from None
        raise


def rows(folder: Path, count: int, *, size: int = BATCH) -> Turn:
    """Insert rows of the same content."""
    script = Path(__file__).parents[1] / "bare_row.py"
    for old in folder.iterdir():
        old.unlink()
    command = (sys.executable, str(script), str(folder), str(count), str(size))
    seconds, cpu = map(float, subprocess.check_output(command, text=True).split())
    return {"per_second": count / seconds, "cpu_us": cpu / count * 1e6}


def article(server: Server, orders: int) -> Turn:
    """Post orders to the article's service, and wait until all were processed."""
    address = f"http://127.0.0.1:{server.port}"
    before = _done(address)

    def drive() -> Turn:
        calls = load.post(f"{address}/orders", orders, load.IN_FLIGHT)
        until(lambda: _done(address) >= before + orders, "the article's service")
        return seen(calls)

    return timed(server, orders, drive)


def _done(address: str) -> int:
    return int(load.get(f"{address}/done"))


def unary(on: str, drive: Callable[..., Turn], in_flight: int, orders: int) -> Case:
    """Drive a server by calls, so many in flight."""
    return Case(on=on, drive=partial(drive, in_flight=in_flight), orders=orders)


def in_batches(on: str, drive: Drive) -> Case:
    """Drive a server by batches: four are in flight."""
    return Case(on=on, drive=drive, orders=20_000, unit=4 * BATCH)


def on_a_stream(on: str, drive: Callable[..., Turn], *shape: int) -> Case:
    """Drive a server by PlaceOrders calls: how many, orders in a message, window of each."""
    calls, in_message, window = shape
    drive = partial(drive, shape=load.Shape(calls, in_message, window))
    return Case(on=on, drive=drive, orders=12_000, unit=calls * in_message)


PART = Part(
    told="An order's cost beside the floors: a bare echo, a raw row, the article's own service",
    servers={
        "echo": Bare("echo_server.py"),
        "article": Bare("toy.py"),
        "disk": Folder(),
        "taking": Ours(("--workers", "0")),
        "8 workers": working(8),
        "64 workers": working(64),
    },
    cases={
        "echo": unary("echo", echo, 64, 8_000),
        "accept": unary("taking", accepts, 64, 8_000),
        "life, 64 workers": unary("64 workers", lives, 64, 8_000),
        "life, 8 workers": unary("8 workers", lives, 64, 6_000),
        "echo, 8 in flight": unary("echo", echo, 8, 4_000),
        "accept, 8 in flight": unary("taking", accepts, 8, 4_000),
        "echo, 1 in flight": unary("echo", echo, 1, 2_000),
        "accept, 1 in flight": unary("taking", accepts, 1, 1_000),
        "life, 1 in flight": unary("8 workers", lives, 1, 1_000),
        "row": Case(on="disk", drive=rows, orders=400_000, unit=BATCH),
        "batch accept": in_batches("taking", batch_accepts),
        "batch life, 64 workers": in_batches("64 workers", batch_lives),
        "batch life, 8 workers": in_batches("8 workers", batch_lives),
        "placing 1, 8 calls, accept": on_a_stream("taking", placing, 8, 1, 8),
        "placing 1, 1 call, accept": on_a_stream("taking", placing, 1, 1, 64),
        "placing 10, 8 calls, accept": on_a_stream("taking", placing, 8, 10, 80),
        "placing 10, 8 calls, life": on_a_stream("64 workers", placing_lives, 8, 10, 80),
        "article": Case(on="article", drive=article, orders=10_000),
    },
)
