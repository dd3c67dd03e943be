"""What is measured beside: Procrastinate, a queue of tasks in PostgreSQL, through psycopg.

As a program: `peer.py defer ADDRESS` defers as many jobs as each line says, one by one, and prints
the seconds they took; `peer.py work ADDRESS` works until it is killed.
"""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import procrastinate
import psycopg.pq
import uvloop
from procrastinate.types import JSONDict

IN_FLIGHT = 64
CONNECTIONS = 8
"""In its pool; more, or fewer, were no faster."""
BATCH = 100
LOOK_SECONDS = 0.02
ORDER: JSONDict = {
    "customer": "customer-0001",
    "lines": {"article-0001": 2},
    "labels": {"channel": "web"},
}

logging.getLogger("procrastinate").setLevel(logging.ERROR)


async def handle(**_: object) -> None:
    """Do nothing."""


def told() -> str:
    """Say what it is."""
    version = procrastinate.__version__
    return f"Procrastinate {version} (psycopg {psycopg.__version__}, {psycopg.pq.__impl__})"


@asynccontextmanager
async def opened(address: str, connections: int = CONNECTIONS) -> AsyncIterator[procrastinate.App]:
    """Open the queue in the database at `address`."""
    connector = procrastinate.PsycopgConnector(
        conninfo=address, min_size=connections, max_size=connections
    )
    app = procrastinate.App(connector=connector)
    app.task(name="handle")(handle)
    async with app.open_async():
        yield app


async def prepare(address: str) -> None:
    """Make its tables in an empty database."""
    async with opened(address, 1) as app:
        await app.schema_manager.apply_schema_async()


async def complete(address: str, jobs: int) -> float:
    """Place so many jobs in batches, while others work; tell the seconds until all are done."""
    async with opened(address, 4) as app:
        began, left = time.perf_counter(), iter(range(jobs // BATCH))

        async def placer() -> None:
            for _ in left:
                await app.tasks["handle"].batch_defer_async(*([ORDER] * BATCH))

        await asyncio.gather(placer(), placer())
        while await _done(app) < jobs:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(LOOK_SECONDS)
        return time.perf_counter() - began


async def _done(app: procrastinate.App) -> int:
    query = "SELECT count(*) AS done FROM procrastinate_jobs WHERE status = 'succeeded'"
    return int((await app.connector.execute_query_one_async(query))["done"])


async def _defer(address: str) -> None:
    async with opened(address) as app:
        print(flush=True)
        while calls := await asyncio.to_thread(sys.stdin.readline):
            left, began = iter(range(int(calls))), time.perf_counter()

            await asyncio.gather(*(_defer_each(app, left) for _ in range(IN_FLIGHT)))
            print(time.perf_counter() - began, flush=True)


async def _defer_each(app: procrastinate.App, calls: Iterator[int]) -> None:
    for _ in calls:
        await app.tasks["handle"].defer_async(**ORDER)


async def _work(address: str) -> None:
    async with opened(address) as app:
        print(flush=True)
        await app.run_worker_async(concurrency=IN_FLIGHT, install_signal_handlers=False)


if __name__ == "__main__":
    uvloop.run({"defer": _defer, "work": _work}[sys.argv[1]](sys.argv[2]))
