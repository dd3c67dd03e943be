"""From the settings to what is served, and what is told of it."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from logging import getLevelNamesMapping
from typing import TYPE_CHECKING

from orderintake_server.access.exposure import Exposure
from orderintake_server.calls.recorder import Recorder
from orderintake_server.http.monitoring.readings import Facts
from orderintake_server.rpc.port.limits import most_connections, share_of_files
from orderintake_server.rpc.server import RpcSettings
from orderintake_server.stream.log import CompletionLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from orderintake_server.access import Callers
    from orderintake_server.calls.frame import Frame
    from orderintake_server.config import Settings
    from orderintake_server.config.watched import WatchedFiles
    from orderintake_server.http.monitoring.readiness import Readiness
    from orderintake_server.http.monitoring.readings import Observed, Source
    from orderintake_server.metrics import Calls
    from orderintake_server.rpc.port.tls import Certificates
    from orderintake_server.store.base import Store
    from orderintake_server.store.rows import CompletionRow
    from orderintake_server.telemetry.spans import Spans
from orderintake_server.parts.extras import extra


def rpc_settings(settings: Settings, certificates: Certificates | None) -> RpcSettings:
    """Return where to serve, and how long to wait for clients."""
    return RpcSettings(
        listen=settings.listen,
        tls=certificates,
        exposure=Exposure(
            is_encrypted=settings.tls_cert is not None,
            knows_callers=settings.knows_callers,
            is_accepted=settings.insecure,
            cure="Give --tls-cert and --tls-key, and say who may call with --access or --jwt-keys",
        ),
        subscriber_seconds=settings.subscriber_timeout,
        connection_seconds=settings.max_connection_age or None,
        idle_seconds=settings.idle_timeout or None,
        most_connections=most_connections(
            settings.own_workers
            + (share_of_files(settings.http_connections) if settings.http else 0),
            settings.max_connections or None,
        ),
        most_streams=settings.max_streams,
    )


def recorder(settings: Settings, calls: Calls, spans: Spans) -> Recorder:
    """Return where what is known of each call is kept."""
    word = settings.access_log
    level = None if word == "off" else getLevelNamesMapping()[word.upper()]
    return Recorder(calls=calls, spans=spans, level=level)


@asynccontextmanager
async def http_server(
    settings: Settings, who: Callers, frame: Frame, observed: Observed, readiness: Readiness
) -> AsyncIterator[int | None]:
    """Serve by HTTP while inside, if the settings say where; give the port.

    `who` knows who may read the metrics from other machines; `frame` has the methods.
    Raises StartupFailed when that cannot be done.
    """
    if not settings.http:
        yield None
        return
    needs = "--http needs aiohttp and prometheus-client"
    with extra("http", modules={"aiohttp", "prometheus_client"}, purpose=needs):
        from orderintake_server.http import server  # noqa: PLC0415 - an extra
    exposure = Exposure(
        is_encrypted=False,
        knows_callers=settings.knows_callers,
        is_accepted=settings.insecure,
        cure="Listen on 127.0.0.1, behind a proxy that encrypts",
    )
    chosen = server.HttpSettings(
        listen=settings.http,
        callers=who,
        exposure=exposure,
        hosts=settings.http_hosts,
        origins=settings.http_origins,
        most_connections=share_of_files(settings.http_connections),
        subscriber_seconds=settings.subscriber_timeout,
    )
    async with server.http_server(chosen, frame, observed, readiness) as port:
        yield port


def facts(settings: Settings) -> Facts:
    """Return what the metrics tell of the settings."""
    path = settings.data / "orders.db"
    return Facts(
        workers=settings.own_workers,
        queue_limit=settings.queue_limit,
        engine="postgresql" if settings.store else "sqlite",
        files={} if settings.store else {"db": path, "wal": path.with_name(f"{path.name}-wal")},
    )


def file_readings(
    settings: Settings, files: WatchedFiles, certificates: Certificates | None
) -> dict[str, Source]:
    """Return what the metrics tell of files that are read again when they change."""
    found: dict[str, Source] = {}
    if settings.knows_callers:
        found["access_reloads_total"] = lambda: _by_result(files, "access", "jwt_keys")
    if certificates is not None:
        found["tls_reloads_total"] = lambda: _by_result(files, "certificate")
        found["tls_certificate_expiry_timestamp_seconds"] = lambda: _ends(certificates)
    return found


def _by_result(files: WatchedFiles, *names: str) -> dict[tuple[str, ...], float]:
    results = Counter[str]()
    for name in names:
        results.update(files.reloads(name))
    return {(result,): count for result, count in results.items()}


def _ends(certificates: Certificates) -> dict[tuple[str, ...], float]:
    ends = certificates.current.ends
    return {} if ends is None else {(): ends}


def completion_log(
    settings: Settings, store: Store, encode: Callable[[CompletionRow], bytes]
) -> CompletionLog:
    """Return the completion log of a store, whose completions `encode` writes for subscribers."""
    return CompletionLog(
        store,
        encode,
        head=store.recovery.head,
        earliest=store.recovery.earliest,
        most_subscribers=settings.subscriber_limit,
    )
