"""From the settings to the store, the queue, and how orders are attempted."""

from __future__ import annotations

import os
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orderintake_server.clock import Clock
from orderintake_server.dispatch.admission import Admission, Limits
from orderintake_server.dispatch.customer_rate import CustomerRate
from orderintake_server.dispatch.free_workers import FreeWorkers
from orderintake_server.dispatch.inbox import CommitPolicy
from orderintake_server.dispatch.queues import OwnQueue, SharedQueue
from orderintake_server.dispatch.rate import DequeueRate
from orderintake_server.dispatch.ready import ReadyQueue
from orderintake_server.dispatch.requests.overdue import GRACE_SECONDS
from orderintake_server.dispatch.retention import Retention
from orderintake_server.dispatch.retries import RetryPolicy
from orderintake_server.dispatch.workers import WorkPolicy
from orderintake_server.domain import Ranking
from orderintake_server.handlers import CallPolicy
from orderintake_server.logger import get_logger
from orderintake_server.store.base import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orderintake_server.config import Settings
    from orderintake_server.dispatch.queues import Queue
    from orderintake_server.handlers import Shop
    from orderintake_server.store.base import Store
from orderintake_server.parts.extras import postgres_driver

log = get_logger()


@asynccontextmanager
async def store(settings: Settings, clock: Clock | None) -> AsyncIterator[Store]:
    """Open the store that the settings name, while inside; without `clock`, use the real time.

    Raises StartupFailed when it cannot be opened.
    """
    if settings.store:
        with postgres_driver():
            from orderintake_server.store.postgres.store import (  # noqa: PLC0415 - an extra
                postgres_store,
            )
        async with postgres_store(
            settings.store,
            replica=server_name(settings),
            workers=settings.own_workers,
            lease_seconds=settings.lease,
            worker_lease=worker_lease(settings),
            hints=settings.notify,
            is_pooled=settings.pooler,
            clock=clock,
            policy=store_policy(settings),
        ) as shared:
            yield shared
    else:
        from orderintake_server.store.sqlite.store import sqlite_store  # noqa: PLC0415 - as above

        async with sqlite_store(
            settings.data, clock=clock or Clock(), policy=store_policy(settings)
        ) as own:
            yield own


def log_recovery(settings: Settings, store: Store) -> None:
    """Tell the log what the store held when it was opened."""
    recovery = store.recovery
    log.info(
        "store opened",
        data="PostgreSQL" if settings.store else str(settings.data),
        waiting=sum(counts.queued + counts.scheduled for counts in recovery.counts.values()),
        recovered=recovery.recovered,
        quarantined=recovery.quarantined,
        kept=recovery.kept,
        head=recovery.head,
    )


def worker_lease(settings: Settings) -> float:
    """Return for how many seconds a worker may be silent.

    Where servers share a database, each writes once a third of its own lease whom it has heard.
    """
    return max(settings.worker_lease, 2 * settings.lease if settings.store else 0.0)


def server_name(settings: Settings) -> str:
    """Return what this server is called among others."""
    return settings.replica or f"{socket.gethostname()}:{os.getpid()}"


def store_policy(settings: Settings) -> Policy:
    """Return what a store needs to know of the settings."""
    head_start = round(settings.vip_head_start * 1e6)
    return Policy(
        ranking=Ranking(vip_head_start=head_start or None),
        max_crashes=settings.max_crashes,
        counts_customers=settings.customer_queue_limit > 0,
    )


def admission(settings: Settings, store: Store) -> Admission:
    """Return the admission, with the limits and the orders that wait in the store."""
    limits = Limits(
        queue=settings.queue_limit,
        vip_reserve=round(settings.queue_limit * settings.vip_reserve),
        per_customer=settings.customer_queue_limit or None,
    )
    return Admission(limits, counts=store.recovery.counts, drain=DequeueRate(time.monotonic))


def queue(settings: Settings, store: Store) -> Queue:
    """Return the queue that orders start from: the store's, if other processes use it too."""
    if store.is_shared:
        return SharedQueue(max_crashes=settings.max_crashes)
    ready = ReadyQueue()
    workers = FreeWorkers(ready, max_crashes=settings.max_crashes, workers=store.recovery.workers)
    return OwnQueue(ready, workers)


def commit_policy(settings: Settings) -> CommitPolicy:
    """Return how much one commit holds, and how long attempts of workers may take."""
    seconds = settings.attempt_timeout
    return CommitPolicy(attempt_limit=round((seconds + GRACE_SECONDS) * 1e6) if seconds else 0)


def retention(settings: Settings, clock: Clock) -> Retention:
    """Return how long ended orders are kept."""
    return Retention(
        seconds=settings.retention or None,
        request_seconds=settings.request_id_retention or None,
        clock=clock,
    )


def customer_rate(settings: Settings) -> CustomerRate:
    """Return the rate limit of each customer."""
    return CustomerRate(
        per_second=settings.customer_rate or None,
        burst=settings.customer_burst,
        clock=time.monotonic,
    )


def work_policy(settings: Settings) -> WorkPolicy:
    """Return how orders are attempted."""
    return WorkPolicy(
        workers=settings.own_workers,
        retries=RetryPolicy(
            max_attempts=settings.max_attempts,
            first_seconds=settings.retry_delay,
            factor=settings.retry_factor,
            most_seconds=settings.retry_delay_limit,
        ),
    )


def call_policy(settings: Settings, shop: Shop) -> CallPolicy:
    """Tell how the handler is called."""
    return CallPolicy(
        name=shop.name,
        slots=settings.own_workers,
        stuck=settings.stuck_attempts,
        attempt_seconds=settings.attempt_timeout or None,
        tells_text=settings.exception_text,
    )
