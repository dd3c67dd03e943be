"""The article's service: aiohttp and an asyncio.PriorityQueue, all in memory; here on uvloop.

`POST /orders` takes an order as JSON, queues it and answers; workers take it, VIP orders first. An
order takes no time to process here, as with the others that are measured. `GET /done` tells how
many orders were processed.
"""

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import uvloop
from aiohttp import web

WORKERS = 64
Process = Callable[[dict[str, Any]], Awaitable[None]]


class UserType(IntEnum):
    """Who orders; the lowest goes first."""

    VIP = 1
    REGULAR = 2


@dataclass(order=True)
class Order:
    """An order in the queue: by its user's type, then by its number."""

    user_type: UserType
    number: int
    content: dict[str, Any] = field(compare=False)


class Service:
    """The queue, those who add to it, and those who take from it."""

    def __init__(self, process: Process | None = None) -> None:
        """Begin with nothing; `process` each order, or be done with it at once."""
        self._process = process
        self._queue: asyncio.PriorityQueue[Order] = asyncio.PriorityQueue()
        self._numbers = itertools.count(1)
        self._done = 0

    async def place(self, request: web.Request) -> web.Response:
        """Take an order."""
        content = await request.json()
        user_type = UserType.VIP if content.get("vip") else UserType.REGULAR
        order = Order(user_type, next(self._numbers), content)
        await self._queue.put(order)
        return web.json_response({"order": order.number, "status": "queued"})

    async def done(self, _: web.Request) -> web.Response:
        """Tell how many orders were processed."""
        return web.json_response(self._done)

    async def work(self) -> None:
        """Process orders for ever."""
        while True:
            order = await self._queue.get()
            if self._process:
                await self._process(order.content)
            self._done += 1
            self._queue.task_done()


async def serve(workers: int, process: Process | None = None, *, port: int = 0) -> None:
    """Serve until killed; print the port."""
    service = Service(process)
    app = web.Application()
    app.add_routes([web.post("/orders", service.place), web.get("/done", service.done)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.gather(*(service.work() for _ in range(workers)))


if __name__ == "__main__":
    run = asyncio.run if "--asyncio" in sys.argv else uvloop.run
    run(serve(WORKERS))
