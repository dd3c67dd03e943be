"""A little of everything that can happen to orders, by chance."""

import random

from orderintake_server.domain import NewOrder
from support.changes import (
    FAILED,
    again,
    cancel,
    new,
    place,
    release,
    settle,
    start,
    waiting,
)
from support.clocks import SECOND
from support.stores import FoundStore, Home


async def mix(home: Home, store: FoundStore, chance: random.Random, *, orders: int = 40) -> None:
    """Place some orders, start the most urgent, end some attempts in every way, cancel some."""
    await place(store, *_orders(home, chance, chance.randrange(orders)))
    home.clock.turn(chance.choice([0, 1, 9]))
    there = len(await waiting(store, limit=12))
    leases = await start(store, min(there, chance.randrange(12)))
    chance.shuffle(leases)
    half = len(leases) // 2
    await release(store, *leases[: half // 2])
    await settle(store, *leases[half // 2 : half], ending=again(chance.choice([0, 5 * SECOND])))
    await settle(store, *leases[half : half + 1])
    await settle(store, *leases[half + 1 : half + 2], ending=FAILED)
    await cancel(store, *(chance.randrange(1, 200) for _ in range(4)))


def _orders(home: Home, chance: random.Random, count: int) -> list[NewOrder]:
    return [
        new(
            vip=chance.random() < 0.3,
            request_id=str(chance.random()) if chance.random() < 0.5 else None,
            not_before=chance.choice([0, 0, home.clock.later(5)]),
            expire_time=chance.choice([0, 0, home.clock.later(15)]),
        )
        for _ in range(count)
    ]
