"""Builds the service of its settings, runs it, and stops it in order."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from orderintake_server import handlers
from orderintake_server.dispatch.admission import Admission, Limits
from orderintake_server.dispatch.attempts import Attempts
from orderintake_server.dispatch.committer import Committer
from orderintake_server.dispatch.customer_rate import CustomerRate
from orderintake_server.dispatch.drain import DequeueRate
from orderintake_server.dispatch.estimate import ServiceTimes
from orderintake_server.dispatch.free_workers import FreeWorkers
from orderintake_server.dispatch.queues import OwnQueue, SharedQueue
from orderintake_server.dispatch.ready import ReadyQueue
from orderintake_server.dispatch.retention import Retention
from orderintake_server.dispatch.retries import RetryPolicy
from orderintake_server.dispatch.stats import QueueStats
from orderintake_server.dispatch.workers import Workers, WorkPolicy
from orderintake_server.domain import Ranking
from orderintake_server.ids import Ids
from orderintake_server.intake import Intake
from orderintake_server.rpc.codec import Codec
from orderintake_server.rpc.server import RpcSettings, rpc_server
from orderintake_server.store.base import Policy
from orderintake_server.store.postgres.store import postgres_store
from orderintake_server.store.sqlite.store import sqlite_store
from orderintake_server.stream.log import CompletionLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any

    from orderintake_server.config import Settings
    from orderintake_server.dispatch.queues import Queue
    from orderintake_server.dispatch.workers import Handler
    from orderintake_server.handlers import OrderAttempt
    from orderintake_server.rpc.server import RpcServer
    from orderintake_server.store.base import Store

log = structlog.get_logger()


def _now() -> int:
    """Tell the time in microseconds since 1970."""
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service that runs: on this port; to be told when its clock was turned by hand."""

    port: int
    look_at_clock: Callable[[], None]


class Service:
    """The parts between the store and the port, made, started and drained together."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        handler: Handler,
        codec: Codec,
        clock: Callable[[], int],
    ) -> None:
        """Prepare to serve from an open store."""
        found = store.recovery
        attempts = Attempts()
        times = ServiceTimes(workers=settings.workers, clock=time.monotonic)
        flow = QueueStats(found, time.monotonic)
        self.completions = CompletionLog(
            store, codec.delivered, head=found.head, earliest=found.earliest
        )
        self.ledger = _ledger(store, settings, self.completions, attempts, flow, clock)
        self.workers = Workers(
            _work_policy(settings),
            ledger=self.ledger,
            attempts=attempts,
            handler=handler,
            times=times,
        )
        self._store = store
        self._times = times
        self.intake = Intake(
            store=store,
            ledger=self.ledger,
            completions=self.completions,
            flow=flow,
            times=times,
            rate=_customer_rate(settings),
        )
        self._committing: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start to commit and to process, as children of `tasks`."""
        self._committing = tasks.create_task(self.ledger.run(), name="ledger")
        tasks.create_task(self.completions.run(), name="completions")
        self._hearing = tasks.create_task(self._hear(), name="news")
        self.workers.start(tasks)

    async def _hear(self) -> None:
        """Take note of what others do to the store, for ever."""
        async for news in self._store.watch():
            self.ledger.apply(news)
            if news.workers is not None:
                self._times.share(news.workers)

    async def drain(self, seconds: float) -> None:
        """Finish what runs within `seconds`, make all durable, tell the subscribers, end."""
        await self.workers.drain(seconds)
        self.ledger.close()
        if self._committing is not None:
            await asyncio.wait({self._committing})
        self.completions.close()
        if self._hearing is not None:
            self._hearing.cancel()


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    handler: Callable[[OrderAttempt], Any] | None = None,
    before: Callable[[OrderAttempt], Awaitable[None]] | None = None,
    clock: Callable[[], int] = _now,
) -> AsyncIterator[Running]:
    """Run the service while inside; leaving drains and stops it.

    All that was in process when the last server ended waits again before the port opens.
    `handler` stands in for the one that the settings name, `clock` for the real time, in
    microseconds since 1970; `before` is awaited before the handler is called.

    Raises StartupFailed when it cannot start. Raises StoreBroken when the store breaks meanwhile;
    what is inside is then cancelled.
    """
    handler = handler or handlers.load(settings.handler)
    async with _store(settings, clock) as store:
        found, names = store.recovery, Ids(store.recovery.log_id)
        log.info(
            "store open",
            data="PostgreSQL" if settings.store else str(settings.data),
            waiting=sum(counts.queued + counts.scheduled for counts in found.counts.values()),
            recovered=found.recovered,
            quarantined=found.quarantined,
            head=found.head,
        )
        with handlers.HandlerCalls(
            handler, names=names, threads=settings.workers, before=before
        ) as calls:
            codec = Codec(names, clock)
            service = Service(store, settings, calls, codec, clock)
            async with (
                rpc_server(
                    service.intake, _rpc_settings(settings), names=names, codec=codec
                ) as server,
                _plain_errors(),
                asyncio.TaskGroup() as tasks,
            ):
                service.start(tasks)
                service.ledger.on_reach = _telling(server, tasks)
                try:
                    yield Running(port=server.port, look_at_clock=service.ledger.look_at_clock)
                finally:
                    service.intake.refuse_orders()
                    await server.announce_stop()
                    await service.drain(settings.drain_timeout)


def _telling(server: RpcServer, tasks: asyncio.TaskGroup) -> Callable[[bool], object]:
    """Tell callers whether the store can be reached, by a task: health may wait for who watches."""
    return lambda is_there: tasks.create_task(server.tell_reach(is_there=is_there), name="health")


@asynccontextmanager
async def _store(settings: Settings, clock: Callable[[], int]) -> AsyncIterator[Store]:
    """Open the store that the settings name."""
    policy = _store_policy(settings)
    if settings.store:
        async with postgres_store(
            settings.store,
            replica=settings.replica or f"{socket.gethostname()}:{os.getpid()}",
            workers=settings.workers,
            lease_seconds=settings.lease,
            hints=settings.notify,
            is_pooled=settings.pooler,
            clock=None if clock is _now else clock,
            policy=policy,
        ) as shared:
            yield shared
    else:
        async with sqlite_store(settings.data, clock=clock, policy=policy) as own:
            yield own


@asynccontextmanager
async def _plain_errors() -> AsyncIterator[None]:
    """Let the one error that a TaskGroup met leave as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def _ledger(  # noqa: PLR0913, PLR0917 - the parts it owns
    store: Store,
    settings: Settings,
    completions: CompletionLog,
    attempts: Attempts,
    flow: QueueStats,
    clock: Callable[[], int],
) -> Committer:
    capacity = Admission(
        _limits(settings), counts=store.recovery.counts, drain=DequeueRate(time.monotonic)
    )
    return Committer(
        store=store,
        queue=_queue(store, settings.max_crashes),
        completions=completions,
        capacity=capacity,
        attempts=attempts,
        flow=flow,
        retention=_retention(settings, clock),
        clock=clock,
    )


def _queue(store: Store, max_crashes: int) -> Queue:
    if store.is_shared:
        return SharedQueue(max_crashes=max_crashes)
    ready = ReadyQueue()
    return OwnQueue(ready, FreeWorkers(ready, max_crashes=max_crashes))


def _retention(settings: Settings, clock: Callable[[], int]) -> Retention:
    return Retention(
        seconds=settings.retention or None,
        request_seconds=settings.request_id_retention or None,
        clock=clock,
    )


def _customer_rate(settings: Settings) -> CustomerRate:
    return CustomerRate(
        per_second=settings.customer_rate or None,
        burst=settings.customer_burst,
        clock=time.monotonic,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        queue=settings.queue_limit,
        vip_reserve=round(settings.queue_limit * settings.vip_reserve),
        per_customer=settings.customer_queue_limit or None,
    )


def _store_policy(settings: Settings) -> Policy:
    head_start = round(settings.vip_head_start * 1e6)
    return Policy(
        ranking=Ranking(vip_head_start=head_start or None),
        max_crashes=settings.max_crashes,
        counts_customers=settings.customer_queue_limit > 0,
    )


def _rpc_settings(settings: Settings) -> RpcSettings:
    return RpcSettings(
        listen=settings.listen,
        workers=settings.workers,
        subscriber_seconds=settings.subscriber_timeout,
        connection_seconds=settings.max_connection_age or None,
    )


def _work_policy(settings: Settings) -> WorkPolicy:
    return WorkPolicy(
        workers=settings.workers,
        retries=RetryPolicy(
            max_attempts=settings.max_attempts,
            first_seconds=settings.retry_delay,
            factor=settings.retry_factor,
            most_seconds=settings.retry_delay_limit,
        ),
        attempt_seconds=settings.attempt_timeout or None,
    )
