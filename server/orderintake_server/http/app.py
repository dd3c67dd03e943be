"""The application that the listener serves: all its routes, and what every answer has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from orderintake_server.http.codes import Left
from orderintake_server.http.connections import NAME, connection_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orderintake_server.http.connections import Connection
    from orderintake_server.http.guard import Guard
    from orderintake_server.http.origins import Origins

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
    AddTo = Callable[[web.UrlDispatcher], None]
    """Adds the routes of a part."""

WRITE_SECONDS = 30.0
"""How long a reader may take for an answer; then the connection is closed."""
_KEPT = ("Allow", "WWW-Authenticate")
"""What stays of an answer that aiohttp or a guard makes in place of ours."""


def application(
    guard: Guard, origins: Origins, parts: Sequence[AddTo], is_stopping: Callable[[], bool]
) -> web.Application:
    """Return the application of these parts, for whom `guard` lets in."""
    around = _Around(guard, origins, is_stopping)
    app = web.Application(middlewares=[around.answered])
    app.on_response_prepare.append(around.finish_headers)
    for add_to in parts:
        add_to(app.router)
    return app


class _Around:
    """What is around every request."""

    def __init__(self, guard: Guard, origins: Origins, is_stopping: Callable[[], bool]) -> None:
        self._guard = guard
        self._origins = origins
        self._is_stopping = is_stopping

    @web.middleware
    async def answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request within a bounded time."""
        connection = connection_of(request)
        connection.heard()
        answer = await self._answer(request, handler, connection)
        if self._is_stopping():
            answer.force_close()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await answer.prepare(request)
                await answer.write_eof()
        except (TimeoutError, ConnectionError):
            connection.abort()
        return answer

    async def _answer(
        self, request: web.Request, handler: Handler, connection: Connection
    ) -> web.StreamResponse:
        try:
            self._guard.check_host(request)
            return await handler(request)
        except web.HTTPException as told:
            kept = {name: told.headers[name] for name in _KEPT if name in told.headers}
            return web.Response(status=told.status, headers=kept)
        except Left:
            connection.abort()
            return web.Response()

    async def finish_headers(self, request: web.Request, answer: web.StreamResponse) -> None:
        """Say nothing of what the server is made of, and let nobody keep what it said."""
        answer.headers["Server"] = NAME
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        self._origins.share(request, answer)
