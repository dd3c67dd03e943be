"""SAQ on Redis: one worker with many coroutines; its queue on Redis has no priorities.

https://saq-py.readthedocs.io/en/latest/ (concurrency of the worker).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import saq

from rivals.child import CONCURRENCY, Place, content, handle, main


async def process(_: dict[str, Any], *, number: int, vip: bool, **__: object) -> None:
    """Process an order."""
    await handle(number, vip)


@asynccontextmanager
async def placing(address: str) -> AsyncIterator[Place]:
    """Give what places an order."""
    queue = saq.Queue.from_url(address)
    await queue.connect()

    async def place(number: int, vip: bool) -> None:  # noqa: FBT001
        await queue.enqueue("process", **content(number, vip))

    yield place
    await queue.disconnect()


async def work(address: str) -> None:
    """Process orders for ever."""
    queue = saq.Queue.from_url(address)
    await saq.Worker(queue, functions=[process], concurrency=CONCURRENCY).start()


if __name__ == "__main__":
    main(placing, work)
