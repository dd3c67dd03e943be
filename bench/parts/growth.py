"""How an order's cost grows: with subscribers, payloads, workers, and calls in flight."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import load
from servers import Server
from turns import Bare, Case, Part, Turn, timed

from orderintake.v1 import order_intake_service_pb2 as api
from parts.core import batch_lives, echo, lives, seen, unary, working
from parts.streams import request

SUBSCRIBERS = (0, 1, 10, 100, 1_000)
PAYLOADS = (0, 100, 1_000, 10_000, 60_000)
WORKERS = (1, 4, 16, 64, 256)
IN_FLIGHT = (1, 8, 64, 256, 1_024)
BATCH = 100


def followed(server: Server, orders: int, *, readers: int) -> Turn:
    """Place orders in batches, wait until all have ended, and until each reader knows of all."""
    if not readers:
        return batch_lives(server, orders, size=BATCH)
    script = str(Path(__file__).parents[1] / "following.py")
    latest = request(start_at=api.START_AT_LATEST).hex()
    command = [sys.executable, script, str(server.port), str(readers), str(orders), latest]
    with subprocess.Popen([*command, "live"], stdout=subprocess.PIPE, text=True) as reading:
        assert reading.stdout
        reading.stdout.readline()  # all are there

        def drive() -> None:
            load.batches(server.port, orders, size=BATCH)
            if reading.wait():
                raise RuntimeError("a subscriber failed")

        return timed(server, orders, drive)


def laden(server: Server, orders: int, *, size: int) -> Turn:
    """Place orders with a payload of so many bytes, and wait until all have ended."""
    order = api.PlaceOrderRequest()
    order.CopyFrom(load.REQUEST)
    if size:
        order.payload.type_url = "type.googleapis.com/shop.Cart"
        order.payload.value = bytes(size)
    before = server.completed()

    def drive() -> Turn:
        calls = load.place(server.port, orders, request=order)
        server.wait_for(before + orders)
        return seen(calls)

    return timed(server, orders, drive)


PART = Part(
    told="An order's whole life, with more of everything",
    servers={
        "echo": Bare("echo_server.py"),
        **{f"{count} workers": working(count) for count in WORKERS},
    },
    cases={
        **{
            f"{count:,} subscribers": Case(
                on="64 workers", drive=partial(followed, readers=count), orders=2_000, fixed=True
            )
            for count in SUBSCRIBERS
        },
        **{
            f"{size:,} bytes": Case(on="64 workers", drive=partial(laden, size=size), orders=2_000)
            for size in PAYLOADS
        },
        **{
            f"{count} workers": Case(
                on=f"{count} workers",
                drive=partial(batch_lives, size=BATCH),
                orders=4_000,
                unit=400,
            )
            for count in WORKERS
        },
        **{f"{count:,} in flight": unary("64 workers", lives, count, 3_000) for count in IN_FLIGHT},
        **{f"echo, {count:,} in flight": unary("echo", echo, count, 3_000) for count in IN_FLIGHT},
    },
    turns=3,
)
