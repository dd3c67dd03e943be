"""A ledger at work over a store, with the parts around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orderintake_server.dispatch.completions import Completions
from orderintake_server.dispatch.drain import DrainRate
from orderintake_server.dispatch.ledger import Ledger
from orderintake_server.dispatch.ready import ReadyQueue
from orderintake_server.dispatch.room import WaitingRoom
from orderintake_server.domain import NewOrder, Receipt
from orderintake_server.store.base import Lease
from orderintake_server.store.sqlite import SqliteStore
from support.clocks import Seconds


class Desk:
    """What a caller and a worker have to do with."""

    def __init__(
        self,
        store: SqliteStore,
        *,
        queue_limit: int = 1000,
        waiting: int = 0,
        window: int = 4096,
    ) -> None:
        self.clock = Seconds()
        self.ready = ReadyQueue(window=window)
        self.completions = Completions(store, head=store.found.head)
        self.ledger = Ledger(
            store=store,
            ready=self.ready,
            completions=self.completions,
            room=WaitingRoom(
                limit=queue_limit,
                waiting=waiting,
                drain=DrainRate(self.clock),
            ),
        )

    async def place(self, *orders: NewOrder) -> tuple[Receipt, ...]:
        """Place a group of orders."""
        return await self.ledger.accept(orders)

    async def start(self) -> Lease:
        """Start the most urgent order."""
        lease = await self.ledger.claim(await self.ready.pop())
        assert lease is not None
        return lease


@asynccontextmanager
async def working(desk: Desk) -> AsyncIterator[Desk]:
    """Let the ledger run while inside; at the end all that was asked is durable."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.ledger.run(), name="ledger")
        yield desk
        desk.ledger.close()
