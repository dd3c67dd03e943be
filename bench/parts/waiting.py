"""What orders that wait cost the others: VIP orders' lives, and one more regular order accepted.

The store is filled by its own code: of ten orders, eight just wait, one is scheduled and one will
expire. Regular ones are paused, so that as many wait in each turn.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import load
from servers import Server, order_server
from turns import Case, Part, Turn, timed

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.clock import Clock
from orderintake_server.domain import NewOrder, Tier
from orderintake_server.store.changes import Capacity, Changes, Pause
from orderintake_server.store.sqlite.store import sqlite_store
from parts.core import accepts, seen, unary

GROUP = 5_000
ACCEPTED = 1_000
"""Regular orders accepted in a turn: few, for they wait with the others from then on."""
KINDS = ("scheduled", "expiring", *["regular"] * 8)
HOUR = 3_600_000_000
VIP = api.PlaceOrderRequest()
VIP.CopyFrom(load.REQUEST)
VIP.tier = order_pb2.TIER_VIP


async def fill(data: Path, orders: int) -> None:
    """Let so many orders wait, each with a request_id, and pause the regular ones."""
    now, content = time.time_ns() // 1_000, load.REQUEST.SerializeToString()

    def new(number: int) -> NewOrder:
        kind = KINDS[number % len(KINDS)]
        return NewOrder(
            customer_id=f"customer-{number % 1000}",
            request_id=f"request-{number}",
            tier=Tier.REGULAR,
            content=content,
            not_before=now + HOUR + number if kind == "scheduled" else 0,
            expire_time=now + 24 * HOUR + number if kind == "expiring" else 0,
        )

    capacity = Capacity(total=orders, regular=orders)
    async with sqlite_store(data, clock=Clock()) as store:
        await store.commit(Changes(pauses=[Pause(tier=Tier.REGULAR, is_paused=True)]))
        for first in range(0, orders, GROUP):
            group = [new(number) for number in range(first, min(first + GROUP, orders))]
            await store.commit(Changes(accepts=[group], capacity=capacity))


@dataclass(frozen=True)
class Waiting:
    """Our server, on a store where so many orders wait."""

    orders: int
    is_ours = True

    @contextmanager
    def start(self, folder: Path, tree: Path | None) -> Iterator[Server]:
        """Fill and run it."""
        asyncio.run(fill(folder, self.orders))
        options = ("--handler", "instant:handle", "--workers", "64")
        with order_server(folder, *options, tree=tree) as server:
            yield server


def vip_lives(server: Server, orders: int) -> Turn:
    """Place VIP orders, each a call, and wait until all have ended; tell the start and memory too.

    Each receipt tells an exact position.
    """
    before = server.completed()

    def drive() -> Turn:
        calls = load.place(server.port, orders, request=VIP)
        server.wait_for(before + orders)
        return seen(calls)

    turn = timed(server, orders, drive)
    return turn | {"ready_s": server.seconds, "memory_mib": server.memory("VmHWM") / 2**20}


def waiting(*counts: int) -> Part:
    """Measure with so many that wait."""
    return Part(
        told="A VIP order's whole life, and a regular one accepted, while regular orders wait",
        servers={f"{count:,}": Waiting(count) for count in counts},
        cases={
            **{
                f"{count:,} waiting": Case(on=f"{count:,}", drive=vip_lives, orders=4_000)
                for count in counts
            },
            **{
                f"accept, {count:,} waiting": unary(f"{count:,}", accepts, 64, ACCEPTED)
                for count in counts
                if count > ACCEPTED
            },
        },
    )
