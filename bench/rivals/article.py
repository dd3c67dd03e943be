"""The article's service: aiohttp and an asyncio.PriorityQueue, in memory; see bench/toy.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import toy

from rivals.child import CONCURRENCY, Place, content, handle, main


@asynccontextmanager
async def placing(address: str) -> AsyncIterator[Place]:
    """Give what places an order."""
    async with aiohttp.ClientSession() as session:

        async def place(number: int, vip: bool) -> None:  # noqa: FBT001
            async with session.post(f"http://{address}/orders", json=content(number, vip)) as got:
                got.raise_for_status()
                await got.read()

        yield place


async def process(order: dict[str, Any]) -> None:
    """Process an order."""
    await handle(order["number"], order["vip"])


async def work(address: str) -> None:
    """Serve, and process."""
    await toy.serve(CONCURRENCY, process, port=int(address.rpartition(":")[2]))


if __name__ == "__main__":
    main(placing, work)
