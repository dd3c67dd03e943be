"""Builds the parts of the service from the settings, which are read here and nowhere below."""

from __future__ import annotations

import os
import socket
import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from orderintake_server.access import AccessTable, KnownCallers, OpenDoor, entries
from orderintake_server.clock import Clock
from orderintake_server.dispatch.admission import Admission, Limits
from orderintake_server.dispatch.customer_rate import CustomerRate
from orderintake_server.dispatch.free_workers import FreeWorkers
from orderintake_server.dispatch.queues import OwnQueue, SharedQueue
from orderintake_server.dispatch.rate import DequeueRate
from orderintake_server.dispatch.ready import ReadyQueue
from orderintake_server.dispatch.retention import Retention
from orderintake_server.dispatch.retries import RetryPolicy
from orderintake_server.dispatch.workers import WorkPolicy
from orderintake_server.domain import Ranking
from orderintake_server.errors import StartupFailed
from orderintake_server.handlers import CallPolicy
from orderintake_server.rpc.port import tls
from orderintake_server.rpc.port.limits import most_connections
from orderintake_server.rpc.port.listeners import Exposure
from orderintake_server.rpc.port.tls import Certificates, TlsFiles
from orderintake_server.rpc.server import RpcSettings
from orderintake_server.store.base import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager

    from orderintake_server.access import Callers
    from orderintake_server.access.tokens import Tokens
    from orderintake_server.config import Settings
    from orderintake_server.config.watched import WatchedFiles
    from orderintake_server.dispatch.queues import Queue
    from orderintake_server.handlers import Shop
    from orderintake_server.store.base import Store


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
            replica=settings.replica or f"{socket.gethostname()}:{os.getpid()}",
            workers=settings.workers,
            lease_seconds=settings.lease,
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


def postgres_driver() -> AbstractContextManager[None]:
    """Import modules that need PostgreSQL's driver while inside, as an `extra`."""
    needs = "a store in PostgreSQL needs the driver asyncpg"
    return extra("postgres", modules={"asyncpg"}, purpose=needs)


@contextmanager
def extra(name: str, *, modules: AbstractSet[str], purpose: str) -> Iterator[None]:
    """Import what needs the modules of an extra of the distribution while inside.

    Raises StartupFailed, which says what to install, when one of them is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in modules:
            raise
        raise StartupFailed(f"{purpose}: pip install 'orderintake-server[{name}]'") from error


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
    return OwnQueue(ready, FreeWorkers(ready, max_crashes=settings.max_crashes))


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
        workers=settings.workers,
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
        slots=settings.workers,
        stuck=settings.stuck_attempts,
        attempt_seconds=settings.attempt_timeout or None,
        tells_text=settings.exception_text,
    )


def rpc_settings(settings: Settings, certificates: Certificates | None) -> RpcSettings:
    """Return where to serve, and how long to wait for clients."""
    return RpcSettings(
        listen=settings.listen,
        tls=certificates,
        exposure=Exposure(
            is_encrypted=settings.tls_cert is not None,
            knows_callers=settings.knows_callers,
            is_accepted=settings.insecure,
        ),
        subscriber_seconds=settings.subscriber_timeout,
        connection_seconds=settings.max_connection_age or None,
        idle_seconds=settings.idle_timeout or None,
        most_connections=most_connections(settings.workers, settings.max_connections or None),
        most_streams=settings.max_streams,
    )


def tls_files(settings: Settings) -> TlsFiles | None:
    """Return the files of the certificate, None when the server has none."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return TlsFiles(cert=settings.tls_cert, key=settings.tls_key, client_ca=settings.tls_client_ca)


async def certificates(settings: Settings, watched: WatchedFiles) -> Certificates | None:
    """Return the server's certificate, as the files say that are watched from now on.

    Raises StartupFailed when it cannot be used.
    """
    files = tls_files(settings)
    if files is None:
        return None
    found = await watched.watch("certificate", files.paths, partial(tls.read, files))
    certificates = Certificates(found.value, wants_clients=files.client_ca is not None)
    found.on_change = certificates.replace
    return certificates


async def callers(settings: Settings, clock: Clock, files: WatchedFiles) -> Callers:
    """Return who may call, as the files say that are watched from now on.

    Raises StartupFailed when one of them cannot be used.
    """
    if not settings.knows_callers:
        return OpenDoor()
    table = AccessTable()
    if settings.access is not None:
        read = partial(entries.read, settings.access)
        watched = await files.watch("access", [settings.access], read)
        table.take(watched.value)
        watched.on_change = table.take
    return KnownCallers(table, await _tokens(settings, clock, files))


async def _tokens(settings: Settings, clock: Clock, files: WatchedFiles) -> Tokens | None:
    if settings.jwt_keys is None:
        return None
    if not settings.jwt_issuer:
        raise StartupFailed("jwt_keys: needs jwt_issuer too: the issuer that tokens must be of")
    with extra("jwt", modules={"jwt", "cryptography"}, purpose="tokens (JWT) need PyJWT"):
        from orderintake_server.access.token_keys import read_keys  # noqa: PLC0415 - an extra
        from orderintake_server.access.tokens import TokenRules, Tokens  # noqa: PLC0415
    read = partial(read_keys, settings.jwt_keys)
    watched = await files.watch("jwt_keys", [settings.jwt_keys], read)
    rules = TokenRules(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        roles_claim=settings.jwt_roles_claim,
        customer_claim=settings.jwt_customer_claim,
        leeway_seconds=settings.jwt_leeway,
        longest_seconds=settings.jwt_longest,
    )
    tokens = Tokens(rules, watched.value, clock)
    watched.on_change = tokens.take
    return tokens
