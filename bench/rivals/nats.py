"""NATS JetStream: a work-queue stream for each tier, explicit acks, push consumers.

https://docs.nats.io/nats-concepts/jetstream/streams (WorkQueuePolicy; there are no priorities: a
stream for each), .../consumers (AckExplicit, MaxAckPending).
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import nats
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig
from nats.js.errors import NotFoundError

from rivals.child import CONCURRENCY, Place, content, handle, main

STREAMS = {True: "VIP", False: "REGULAR"}
ACK_SECONDS = 5
"""After so long without an ack an order is delivered again; the default is 30."""


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Any]:
    """Open JetStream, with the streams."""
    connection = await nats.connect(address, allow_reconnect=False)
    stream = connection.jetstream()
    for name in STREAMS.values():
        await stream.add_stream(
            StreamConfig(
                name=name, subjects=[f"orders.{name}"], retention=RetentionPolicy.WORK_QUEUE
            )
        )
    yield stream
    await connection.close()


@asynccontextmanager
async def placing(address: str) -> AsyncIterator[Place]:
    """Give what places an order."""
    async with opened(address) as stream:

        async def place(number: int, vip: bool) -> None:  # noqa: FBT001
            body = json.dumps(content(number, vip)).encode()
            await stream.publish(f"orders.{STREAMS[vip]}", body, timeout=20)

        yield place


async def work(address: str) -> None:
    """Process orders for ever: of those that were delivered, VIP ones first."""
    delivered: asyncio.PriorityQueue[tuple[bool, int, Any]] = asyncio.PriorityQueue()
    numbers = itertools.count()

    async def worker() -> None:
        while True:
            _, _, message = await delivered.get()
            order = json.loads(message.data)
            await handle(order["number"], order["vip"])
            await message.ack()

    async with opened(address) as stream, asyncio.TaskGroup() as tasks:
        for vip, name in STREAMS.items():

            async def deliver(message: Any, vip: bool = vip) -> None:  # noqa: ANN401, FBT001
                delivered.put_nowait((not vip, next(numbers), message))

            config = ConsumerConfig(max_ack_pending=CONCURRENCY, ack_wait=ACK_SECONDS)
            with suppress(NotFoundError):  # of the worker before, which had another limit
                await stream.delete_consumer(name, "workers")
            await stream.subscribe(
                f"orders.{name}", durable="workers", cb=deliver, manual_ack=True, config=config
            )
        for _ in range(CONCURRENCY):
            tasks.create_task(worker())


if __name__ == "__main__":
    main(placing, work)
