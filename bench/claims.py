"""What a long queue costs a replica that takes orders from PostgreSQL.

Orders are taken and settled 64 at a time, both in one commit, as a server with 64 busy workers
does: in a store where about a thousand wait, in turns with one where a million do. Then while an
old snapshot is held open somewhere, so that no dead row can be cleaned away.
"""

import argparse
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import load
import uvloop
from database import postgres, store, told

from orderintake_server.domain import Ending, Lease, NewOrder, Tier
from orderintake_server.store.base import Store
from orderintake_server.store.changes import Capacity, Changes, ClaimNext, Settlement, Take
from orderintake_server.store.postgres.store import postgres_store
from orderintake_server.telemetry import configure_log

AT_ONCE = 64
BURST = 15
"""Commits in a turn: somewhat less than a thousand orders."""
FEW = 1_000
GROUP = 1_000
ROOM = Capacity(total=10**9, regular=10**9)
CONTENT = load.REQUEST.SerializeToString()


async def fill(filled: Store, orders: int, first: int = 0) -> None:
    """Let more orders wait, one in ten of them VIP, each with a request_id of its own."""
    for begin in range(first, first + orders, GROUP):
        group = [
            NewOrder(
                customer_id=f"customer-{number % 1000}",
                request_id=f"request-{number}",
                tier=Tier.REGULAR if number % 10 else Tier.VIP,
                content=CONTENT,
            )
            for number in range(begin, min(begin + GROUP, first + orders))
        ]
        await filled.commit(Changes(accepts=[group], capacity=ROOM))


class Worker:
    """Takes orders from a store, and is done with them at once."""

    def __init__(self, worked: Store, waiting: int) -> None:
        """Work on a store where so many orders wait."""
        self._store = worked
        self._leases: list[Lease] = []
        self._placed = waiting

    async def turn(self) -> float:
        """Take some orders, as many as are placed before; tell how many it were a second."""
        await fill(self._store, BURST * AT_ONCE, self._placed)
        self._placed += BURST * AT_ONCE
        return await self.work(BURST)

    async def work(self, commits: int) -> float:
        """Settle and take, so many times; tell how many orders it were a second."""
        taken, began = 0, time.perf_counter()
        for _ in range(commits):
            settles = [Settlement(lease=lease, ending=Ending()) for lease in self._leases]
            take = ClaimNext(takes=[Take(AT_ONCE)], is_idle=False)
            done = await self._store.commit(Changes(settles=settles, claim_next=take))
            self._leases = done.claimed_next
            taken += len(done.claimed_next)
        if taken != commits * AT_ONCE:
            raise RuntimeError(f"only {taken} orders were there to take")
        return taken / (time.perf_counter() - began)


@asynccontextmanager
async def snapshot(address: str) -> AsyncIterator[None]:
    """Hold on to how a database stands now, while inside."""
    connection = await asyncpg.connect(address)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.fetch("SELECT count(*) FROM orderintake.commits")
        yield
    await connection.close()


async def measure(few: str, many: str, arguments: argparse.Namespace) -> None:
    """Measure and print."""
    async with AsyncExitStack() as stack:
        workers = {}
        for address, orders in ((few, FEW), (many, arguments.orders)):
            opened = await stack.enter_async_context(postgres_store(address, workers=AT_ONCE))
            began = time.perf_counter()
            await fill(opened, orders)
            rate = orders / (time.perf_counter() - began)
            print(f"filled with {orders:,} orders, {rate:,.0f} a second")
            workers[orders] = Worker(opened, orders)
        await turns(workers, arguments.turns)
        async with snapshot(many):
            await pinned(workers[arguments.orders], arguments.pinned)


async def turns(workers: dict[int, Worker], count: int) -> None:
    """Let the workers take turns; print the medians."""
    rates: dict[int, list[float]] = {orders: [] for orders in workers}
    for worker in workers.values():
        await worker.turn()
    for _ in range(count):
        for orders, worker in workers.items():
            rates[orders].append(await worker.turn())
    floor = statistics.median(next(iter(rates.values())))
    print("\n| orders waiting | taken and settled a second | ratio |\n| --- | --- | --- |")
    for orders, found in rates.items():
        rate = statistics.median(found)
        print(f"| {orders:,} | {rate:,.0f} | {rate / floor:.2f} |")


async def pinned(worker: Worker, orders: int) -> None:
    """Take many; print how the first and the last tenth of them went."""
    tenths = [await worker.work(orders // 10 // AT_ONCE) for _ in range(10)]
    print(f"\n| {orders:,} taken beside an old snapshot | a second | ratio |\n| --- | --- | --- |")
    for name, rate in (("first tenth", tenths[0]), ("last tenth", tenths[-1])):
        print(f"| {name} | {rate:,.0f} | {rate / tenths[0]:.2f} |")


def main() -> None:
    """Start PostgreSQL, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000, help="that wait")
    parser.add_argument("--pinned", type=int, default=200_000, help="taken beside a snapshot")
    parser.add_argument("--turns", type=int, default=60, help="of about 1,000 orders, for each")
    arguments = parser.parse_args()
    with postgres() as running:
        few, many = store(running, "few"), store(running, "many")
        print(told(few))
        uvloop.run(measure(few, many, arguments))


if __name__ == "__main__":
    configure_log(form="text", level="error")  # standard output is for figures
    main()
