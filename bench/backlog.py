"""A million orders in mixed states: how long a restart takes, and how much memory.

The store is filled through the server's own code; the same server is started on an empty store too,
and told beside it.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import grpc
import load
from servers import Server, order_server

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2
from orderintake_server.clock import Clock
from orderintake_server.domain import NewOrder, Tier
from orderintake_server.store.changes import Capacity, Changes
from orderintake_server.store.sqlite.store import sqlite_store

GROUP = 5_000
KINDS = ("vip", "scheduled", "expiring", *["regular"] * 7)
HOUR = 3_600_000_000


async def fill(data: Path, orders: int) -> None:
    """Let orders wait: seven in ten regular, one VIP, one scheduled, one that will expire."""
    now = time.time_ns() // 1_000
    content = load.REQUEST.SerializeToString()

    def new(number: int) -> NewOrder:
        kind = KINDS[number % len(KINDS)]
        return NewOrder(
            customer_id=f"customer-{number % 1000}",
            request_id=f"request-{number}",
            tier=Tier.VIP if kind == "vip" else Tier.REGULAR,
            content=content,
            not_before=now + HOUR + number if kind == "scheduled" else 0,
            expire_time=now + 24 * HOUR + number if kind == "expiring" else 0,
        )

    capacity = Capacity(total=orders, regular=orders)
    async with sqlite_store(data, clock=Clock()) as store:
        for first in range(0, orders, GROUP):
            group = [new(number) for number in range(first, min(first + GROUP, orders))]
            await store.commit(Changes(accepts=[group], capacity=capacity))


def place_seconds(server: Server) -> float:
    """Place a VIP order and tell how long its receipt took, with its exact position."""
    request = api.PlaceOrderRequest()
    request.CopyFrom(load.REQUEST)
    request.tier = order_pb2.TIER_VIP
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = api_grpc.OrderIntakeServiceStub(channel)
        stub.PlaceOrder(request)
        began = time.perf_counter()
        stub.PlaceOrder(request)
        return time.perf_counter() - began


def main() -> None:
    """Fill, start, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000, help="orders that wait")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        empty, full = Path(folder) / "empty", Path(folder) / "full"
        asyncio.run(fill(full, arguments.orders))
        for name, data in (("no orders", empty), (f"{arguments.orders:,} orders", full)):
            with order_server(data, "--workers", "0") as server:
                receipt = place_seconds(server) * 1000
                peak = server.memory("VmHWM") / 2**20
                ready = f"ready after {server.seconds:5.2f} s, a receipt in {receipt:5.2f} ms"
                print(f"{name:18} {ready}, {peak:6.1f} MiB at the most")


if __name__ == "__main__":
    main()
