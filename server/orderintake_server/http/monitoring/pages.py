"""The pages: /metrics, /healthz and /readyz."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from orderintake_server.http.guard import Guard
    from orderintake_server.http.monitoring.exposition import Exposition
    from orderintake_server.http.monitoring.readiness import Readiness


class Pages:
    """Answers requests."""

    def __init__(self, exposition: Exposition, readiness: Readiness, guard: Guard) -> None:
        """Show these, to whom `guard` lets in."""
        self._exposition = exposition
        self._readiness = readiness
        self._guard = guard

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve the pages."""
        router.add_get("/metrics", self.metrics)
        router.add_get("/healthz", self.healthz)
        router.add_get("/readyz", self.readyz)

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
