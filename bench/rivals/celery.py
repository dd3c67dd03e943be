"""Celery on Redis, with priorities: a list for each, of which the worker asks the first one first.

https://docs.celeryq.dev/en/stable/userguide/routing.html#redis-message-priorities (priority_steps,
queue_order_strategy), .../userguide/optimizing.html (prefetch 1 and late acknowledgement for
priorities), .../userguide/tasks.html (ignore_result). The worker is its default, processes.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

import celery

from rivals.child import CONCURRENCY, HANDLING, Place, content, main, mark

THREADS = 16
"""That place orders at the same time, for its client blocks; as many connections."""
PRIORITIES = {True: 0, False: 9}
"""On Redis the lowest goes first."""
PROCESSES = 8
"""Of the worker, at the most: more are slower on two cores."""


def app_at(address: str) -> celery.Celery:
    """Make the app."""
    app = celery.Celery("rivals", broker=address)
    app.conf.update(
        broker_pool_limit=THREADS,
        broker_transport_options={
            "priority_steps": sorted(PRIORITIES.values()),
            "queue_order_strategy": "priority",
        },
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
    )
    app.task(name="process")(process)
    return app


def process(number: int, vip: bool, **_: object) -> None:  # noqa: FBT001
    """Process an order."""
    mark(number, vip)
    if HANDLING:
        time.sleep(HANDLING)


@asynccontextmanager
async def placing(address: str) -> AsyncIterator[Place]:
    """Give what places an order."""
    task = app_at(address).tasks["process"]
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(THREADS) as threads:

        async def place(number: int, vip: bool) -> None:  # noqa: FBT001
            send = partial(
                task.apply_async,
                kwargs=content(number, vip),
                priority=PRIORITIES[vip],
                retry=False,
            )
            await loop.run_in_executor(threads, send)

        yield place


async def work(_: str) -> None:
    """Never: its worker brings its own loop."""


if __name__ == "__main__":
    if sys.argv[1] == "work":
        options = [f"--concurrency={min(CONCURRENCY, PROCESSES)}", "--loglevel=ERROR"]
        quick = ["--without-gossip", "--without-mingle", "-O", "fair"]
        app_at(sys.argv[2]).worker_main(["worker", *options, *quick])
    else:
        main(placing, work)
