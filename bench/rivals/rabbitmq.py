"""RabbitMQ through aio-pika: a quorum queue for each tier, publisher confirms, manual acks.

https://www.rabbitmq.com/docs/quorum-queues (a quorum queue of 3.x has no priorities: a queue for
each), .../docs/confirms (persistent messages, confirms, prefetch).
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from rivals.child import CONCURRENCY, Place, content, handle, main

QUEUES = {True: "orders.vip", False: "orders"}


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[AbstractChannel]:
    """Open a channel, with the queues."""
    async with await aio_pika.connect(address) as connection:
        channel = await connection.channel(publisher_confirms=True)
        for name in QUEUES.values():
            await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        yield channel


@asynccontextmanager
async def placing(address: str) -> AsyncIterator[Place]:
    """Give what places an order."""
    async with opened(address) as channel:

        async def place(number: int, vip: bool) -> None:  # noqa: FBT001
            message = aio_pika.Message(
                json.dumps(content(number, vip)).encode(),
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            await channel.default_exchange.publish(message, routing_key=QUEUES[vip])

        yield place


async def work(address: str) -> None:
    """Process orders for ever: of those that were delivered, VIP ones first."""
    delivered: asyncio.PriorityQueue[tuple[bool, int, AbstractIncomingMessage]]
    delivered = asyncio.PriorityQueue()

    async def worker() -> None:
        while True:
            _, _, message = await delivered.get()
            order = json.loads(message.body)
            await handle(order["number"], order["vip"])
            await message.ack()

    async with opened(address) as channel, asyncio.TaskGroup() as tasks:
        await channel.set_qos(prefetch_count=CONCURRENCY)
        for vip, name in QUEUES.items():

            async def deliver(message: AbstractIncomingMessage, vip: bool = vip) -> None:  # noqa: FBT001
                delivered.put_nowait((not vip, message.delivery_tag or 0, message))

            queue = await channel.get_queue(name)
            await queue.consume(deliver)
        for _ in range(CONCURRENCY):
            tasks.create_task(worker())


if __name__ == "__main__":
    main(placing, work)
