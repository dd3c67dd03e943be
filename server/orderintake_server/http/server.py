"""The HTTP server: where it listens, and how it stops."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from orderintake_server.access.exposure import EVERY_ADDRESS, is_loopback
from orderintake_server.errors import StartupFailed
from orderintake_server.http import openapi
from orderintake_server.http.app import application
from orderintake_server.http.board import Board, read_files
from orderintake_server.http.connections import Connection, connecting
from orderintake_server.http.guard import Guard
from orderintake_server.http.methods import Methods
from orderintake_server.http.monitoring.exposition import Exposition
from orderintake_server.http.monitoring.pages import Pages
from orderintake_server.http.monitoring.readings import Readings
from orderintake_server.http.origins import Origins
from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from orderintake_server.access import Callers
    from orderintake_server.access.exposure import Exposure
    from orderintake_server.calls.frame import Frame
    from orderintake_server.http.monitoring.readiness import Readiness
    from orderintake_server.http.monitoring.readings import Observed

STOP_SECONDS = 1.0
"""How long a request may go on when the server stops; aiohttp waits twice for so long."""

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where to listen, and for whom.

    `listen` is HOST:PORT, port 0 for a free one; `exposure` tells whether other machines may reach
    it; `hosts` are the names that are answered to, `origins` those of other pages that may call.
    Of more than `most_connections` the newest are closed at once. A subscriber has
    `subscriber_seconds` to take a message.
    """

    listen: str
    callers: Callers
    exposure: Exposure
    hosts: Sequence[str]
    origins: Sequence[str]
    most_connections: int
    subscriber_seconds: float


@asynccontextmanager
async def http_server(
    settings: HttpSettings, frame: Frame, observed: Observed, readiness: Readiness
) -> AsyncIterator[int]:
    """Serve the methods of `frame`, metrics and health while inside; give the port.

    Raises StartupFailed when the server cannot, or must not, listen on the address.
    """
    guard = Guard(settings.callers, observed.meters.calls, settings.hosts)
    origins = Origins(settings.origins)
    methods = Methods(frame, origins, subscriber_seconds=settings.subscriber_seconds)
    pages = Pages(Exposition(Readings(observed)), readiness, guard)
    board = Board(await asyncio.to_thread(read_files), settings.callers, observed.meters.calls)
    parts = (board.add_to, pages.add_to, methods.add_to, openapi.add_to)
    app = application(guard, origins, parts, readiness.is_draining)
    runner = web.AppRunner(app, shutdown_timeout=STOP_SECONDS, handle_signals=False)
    await runner.setup()
    try:
        listener = await _listener(settings, runner)
        try:
            guard.is_own_only = _is_own_only(settings, listener)
            await listener.start_serving()
            port = int(listener.sockets[0].getsockname()[1])
            url = _url(settings.listen, port)
            log.info("serving HTTP", board=f"{url}/", url=f"{url}/metrics")
            yield port
        finally:
            listener.close()
    finally:
        await _stop(runner)


async def _listener(settings: HttpSettings, runner: web.AppRunner) -> asyncio.Server:
    """Bind the address, and listen not yet."""
    assert runner.server is not None  # noqa: S101 - after setup it is there
    host, _, port = settings.listen.rpartition(":")
    try:
        return await asyncio.get_running_loop().create_server(
            connecting(runner.server, settings.most_connections),
            None if host == EVERY_ADDRESS else host.strip("[]"),
            int(port),
            start_serving=False,
        )
    except OSError as error:
        number = error.errno or 0  # below 0: of a name that is unknown
        why = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise StartupFailed(f"cannot listen on {settings.listen} (--http): {why}") from error


def _is_own_only(settings: HttpSettings, listener: asyncio.Server) -> bool:
    """Tell whether only this machine reaches it. Raises StartupFailed where only it may."""
    addresses = [found.getsockname()[0] for found in listener.sockets]
    if all(map(is_loopback, addresses)):
        return True
    settings.exposure.check(f"{settings.listen} (--http)")
    return False


def _url(listen: str, port: int) -> str:
    host = listen.rpartition(":")[0]
    return f"http://{host}:{port}"


async def _stop(runner: web.AppRunner) -> None:
    """Let requests end, for a moment; then close every connection, read or not."""
    connections = runner.server.connections if runner.server else []
    await runner.cleanup()
    for connection in connections:
        if isinstance(connection, Connection):
            connection.abort()
