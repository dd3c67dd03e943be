"""Workers at work, and a handler under a test's control."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from google.protobuf import any_pb2

from orderintake.v1 import order_pb2
from orderintake.work.handlers import CallPolicy
from orderintake.work.handlers import HandlerCalls as WorkCalls
from orderintake.work.outcome import Outcome
from orderintake_server.dispatch.attempts import StopSignal
from orderintake_server.dispatch.retries import RetryPolicy
from orderintake_server.dispatch.workers import Workers, WorkPolicy
from orderintake_server.domain import Lease
from orderintake_server.handlers import HandlerCalls, OrderAttempt, Shop
from orderintake_server.ids import Ids
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


class Plain:
    """Calls what a test is content to write: a coroutine function of a lease and a signal."""

    def __init__(self, handler: Handler, policy: CallPolicy) -> None:
        self._handler = handler
        self._calls = WorkCalls(self._handle, policy)

    async def room(self) -> None:
        await self._calls.room()

    async def __call__(self, lease: Lease, signal: StopSignal) -> Outcome:
        return await self._calls(attempt_of(resources=lease, signal=signal))

    async def _handle(self, order: OrderAttempt) -> any_pb2.Any | None:
        result = await self._handler(order.resources, order.signal)
        return None if result is None else any_pb2.Any.FromString(result)


def attempt_of(**given: Any) -> OrderAttempt:  # noqa: ANN401 - whatever an attempt has
    """Make an attempt in which only what is given matters."""
    plain: dict[str, Any] = {
        "order_id": "0123abcd-000000000001",
        "customer_id": "ada",
        "tier": order_pb2.TIER_VIP,
        "lines": [],
        "labels": {},
        "payload": None,
        "accept_time": datetime(2026, 1, 1, tzinfo=UTC),
        "attempt": 1,
        "signal": StopSignal(),
    }
    return OrderAttempt(**{**plain, **given})


def called(
    handler: Any,  # noqa: ANN401 - whatever a shop writes
    ids: Ids = Ids("0123abcd"),  # noqa: B008 - it never changes
    **policy: Any,  # noqa: ANN401 - whatever a policy takes
) -> HandlerCalls:
    """Give the calls of a shop's handler; its exceptions are told with their text."""
    return HandlerCalls(
        Shop(handler=handler), CallPolicy(**{"tells_text": True, **policy}), ids=ids
    )


@asynccontextmanager
async def at_work(  # noqa: PLR0913 - whatever a test wants to be different
    desk: Desk,
    handler: Handler | HandlerCalls | Plain,
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
        interrupt_seconds=interrupt_seconds,
    )
    if not isinstance(handler, (HandlerCalls, Plain)):
        calls = CallPolicy(slots=count, attempt_seconds=attempt_seconds, tells_text=True)
        handler = Plain(handler, calls)
    workers = Workers(
        policy, committer=desk.committer, attempts=desk.attempts, handler=handler, times=desk.times
    )
    async with asyncio.TaskGroup() as tasks:
        workers.start(tasks)
        yield workers
        await workers.drain(FOREVER)
