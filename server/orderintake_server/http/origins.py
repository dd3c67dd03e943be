"""Pages of other sites: which of them may call, and that no other one can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SHARED = web.RequestKey("shared", bool)
_OTHER_SITES = {"cross-site", "same-site"}
_METHODS = "GET, POST"
_HEADERS = (
    "authorization, connect-protocol-version, connect-timeout-ms, content-encoding, content-type, "
    "idempotency-key, last-event-id, traceparent"
)
_TOLD = "retry-after"
"""Headers of answers that such a page may read."""
_MOST_AGE = "7200"
"""For so many seconds a browser need not ask again; none keeps it for longer."""


class Origins:
    """Lets pages call: those that this server sent, and those of the origins that are listed."""

    def __init__(self, listed: Collection[str]) -> None:
        """Let pages of these origins call, each SCHEME://HOST or SCHEME://HOST:PORT."""
        self._listed = frozenset(listed)

    def checked(self, handler: Handler) -> Handler:
        """Return a handler for whoever may call. Raises HTTPForbidden for others."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            request[_SHARED] = True
            if not self._may_call(request):
                raise web.HTTPForbidden
            return await handler(request)

        return guarded

    async def preflight(self, request: web.Request) -> web.StreamResponse:
        """Tell a browser whether a page of another site may call."""
        request[_SHARED] = True
        if not self._is_listed(request):
            raise web.HTTPForbidden
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": _HEADERS,
                "Access-Control-Max-Age": _MOST_AGE,
            },
        )

    def share(self, request: web.Request, answer: web.StreamResponse) -> None:
        """Let the pages that may call read an answer; never with cookies, of which there are none.

        What is no method's answer is for nobody else's pages.
        """
        if not self._listed or not request.get(_SHARED):
            return
        answer.headers.add("Vary", "Origin")
        if self._is_listed(request):
            answer.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            answer.headers["Access-Control-Expose-Headers"] = _TOLD

    def _may_call(self, request: web.Request) -> bool:
        if self._is_listed(request):
            return True
        if request.headers.get("Sec-Fetch-Site") in _OTHER_SITES:
            return False
        own = _without_port(request.headers.get("Host", "").lower())
        return all(_is_own(origin, own) for origin in request.headers.getall("Origin", ()))

    def _is_listed(self, request: web.Request) -> bool:
        found = request.headers.getall("Origin", ())
        return len(found) == 1 and found[0] in self._listed


def _is_own(origin: str, own: str) -> bool:
    """Tell whether a page was sent by the server that it calls; a proxy may encrypt in between."""
    scheme, _, host = origin.partition("://")
    return scheme in {"http", "https"} and bool(own) and _without_port(host) == own


def _without_port(host: str) -> str:
    """Leave out the port that needs not be said."""
    return host.removesuffix(":80").removesuffix(":443")
