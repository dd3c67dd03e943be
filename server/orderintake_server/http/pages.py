"""The pages: the board, /metrics, /healthz and /readyz."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from orderintake_server.http.connections import NAME, Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orderintake_server.http.board import Board
    from orderintake_server.http.exposition import Exposition
    from orderintake_server.http.guard import Guard
    from orderintake_server.http.readiness import Readiness

    Page = Callable[[web.Request], Awaitable[web.StreamResponse]]

WRITE_SECONDS = 10.0
"""How long a reader may take for a page; then the connection is closed."""


class Pages:
    """Answers requests."""

    def __init__(
        self, exposition: Exposition, readiness: Readiness, guard: Guard, board: Board
    ) -> None:
        """Show these, to whom `guard` lets in."""
        self._exposition = exposition
        self._readiness = readiness
        self._guard = guard
        self._board = board

    def app(self) -> web.Application:
        """Return the application that a listener serves."""
        app = web.Application(middlewares=[self._around])
        app.on_response_prepare.append(_finish_headers)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        self._board.add_to(app.router)
        return app

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Show all metrics, as text of Prometheus or of OpenMetrics."""
        self._guard.check_reader(request)
        text, content_type = await self._exposition.scrape(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def healthz(self, _: web.Request) -> web.StreamResponse:
        """Show that the process lives and its event loop turns: otherwise there is no answer."""
        return web.json_response({"alive": True})

    async def readyz(self, _: web.Request) -> web.StreamResponse:
        """Show whether new orders may come: 200, or 503 and why not."""
        reasons = self._readiness.reasons()
        return web.json_response(
            {"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200
        )

    @web.middleware
    async def _around(self, request: web.Request, handler: Page) -> web.StreamResponse:
        """Answer a request within a bounded time."""
        connection = request.protocol
        assert isinstance(connection, Connection)  # noqa: S101 - the listener makes no other
        connection.heard()
        self._guard.check_host(request)
        answer = await handler(request)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await answer.prepare(request)
                await answer.write_eof()
        except (TimeoutError, ConnectionError):
            connection.abort()
        return answer


async def _finish_headers(_: web.Request, answer: web.StreamResponse) -> None:
    """Say nothing of what the server is made of, and let nobody keep what it said."""
    answer.headers["Server"] = NAME
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
