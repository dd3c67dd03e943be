"""Procrastinate: tasks in PostgreSQL, with priorities; psycopg, one worker with many coroutines.

https://procrastinate.readthedocs.io/en/stable/howto/advanced/priorities.html and
.../howto/basics/worker.html (concurrency); the database as ours: fsync and synchronous_commit on.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import procrastinate

from rivals.child import CONCURRENCY, Place, content, handle, main

CONNECTIONS = 8
"""In its pool; more, or fewer, were no faster."""
VIP = 10

logging.getLogger("procrastinate").setLevel(logging.ERROR)


async def process(number: int, vip: bool, **_: object) -> None:  # noqa: FBT001
    """Process an order."""
    await handle(number, vip)


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[procrastinate.App]:
    """Open the queue in the database."""
    connector = procrastinate.PsycopgConnector(
        conninfo=address, min_size=CONNECTIONS, max_size=CONNECTIONS
    )
    app = procrastinate.App(connector=connector)
    app.task(name="process")(process)
    async with app.open_async():
        yield app


@asynccontextmanager
async def placing(address: str) -> AsyncIterator[Place]:
    """Give what places an order."""
    async with opened(address) as app:
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        jobs = {vip: app.tasks["process"].configure(priority=VIP * vip) for vip in (False, True)}

        async def place(number: int, vip: bool) -> None:  # noqa: FBT001
            await jobs[vip].defer_async(**content(number, vip))

        yield place


async def work(address: str) -> None:
    """Process orders for ever."""
    async with opened(address) as app:
        await app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)


if __name__ == "__main__":
    main(placing, work)
