"""Workers at work, and a handler under a test's control."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from orderintake_server.dispatch.attempts import StopSignal
from orderintake_server.dispatch.retries import RetryPolicy
from orderintake_server.dispatch.workers import Workers, WorkPolicy
from orderintake_server.domain import Lease
from support.desk import Desk

FOREVER = 3600.0
ONCE = RetryPolicy(max_attempts=1)
Handler = Callable[[Lease, StopSignal], Awaitable[bytes | None]]


class Hand:
    """A handler that holds each order until it is let go; tells which started, in order."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[Lease] = asyncio.Queue()
        self.signals: dict[int, StopSignal] = {}
        self.let_go = asyncio.Event()

    async def __call__(self, lease: Lease, signal: StopSignal) -> bytes | None:
        self.signals[lease.order.accept_sequence] = signal
        self.started.put_nowait(lease)
        await self.let_go.wait()
        return None

    async def starts(self, count: int) -> list[int]:
        """Wait for the next `count` starts, and tell of which orders."""
        return [(await self.started.get()).order.accept_sequence for _ in range(count)]


@asynccontextmanager
async def at_work(  # noqa: PLR0913 - whatever a test wants to be different
    desk: Desk,
    handler: Handler,
    *,
    count: int = 1,
    retries: RetryPolicy = ONCE,
    attempt_seconds: float | None = None,
    interrupt_seconds: float = 2.0,
) -> AsyncIterator[Workers]:
    """Let workers run while inside; they end what they have begun."""
    policy = WorkPolicy(
        workers=count,
        retries=retries,
        attempt_seconds=attempt_seconds,
        interrupt_seconds=interrupt_seconds,
    )
    workers = Workers(
        policy, committer=desk.committer, attempts=desk.attempts, handler=handler, times=desk.times
    )
    async with asyncio.TaskGroup() as tasks:
        workers.start(tasks)
        yield workers
        await workers.drain(FOREVER)
