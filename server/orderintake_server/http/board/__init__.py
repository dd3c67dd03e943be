"""The board: the page that shows the queue at work, its files, and what its reader may do."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from orderintake_server.access import Credentials
from orderintake_server.api.methods import TABLE
from orderintake_server.errors import NotAllowed, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orderintake_server.access import Caller, Callers
    from orderintake_server.api.access import Rule
    from orderintake_server.metrics import Calls

    File = tuple[bytes, str]
    """What a file holds, and its content type."""

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""By the ends of the files' names."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""The page runs its own scripts, speaks to its own server, and stands in no other page."""
INDEX = "index.html"


class Board:
    """Serves the page to everybody, for there is no data in it, and tells who may do what."""

    def __init__(self, files: Mapping[str, File], callers: Callers, calls: Calls) -> None:
        """Serve `files`; know readers by `callers`, and count in `calls` whom they do not."""
        self._files = files
        self._callers = callers
        self._calls = calls

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes: / for the page, and below /board/ what it asks for."""
        router.add_get("/", self.file)
        router.add_get("/board/caller", self.caller)
        router.add_get("/board/{name}", self.file)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Show a file of the page."""
        found = self._files.get(request.match_info.get("name", INDEX))
        if found is None:
            raise web.HTTPNotFound
        body, content_type = found
        return web.Response(body=body, headers={**HEADERS, "Content-Type": content_type})

    async def caller(self, request: web.Request) -> web.StreamResponse:
        """Tell who asks, and the full names of the methods that it may call.

        The page offers what can succeed, and nothing else.
        """
        headers = request.headers.getall("Authorization", [])
        try:
            caller = self._callers.identify(
                Credentials(headers, lambda: None, lambda: str(request.remote))
            )
        except Unauthenticated as error:
            self._calls.not_known(error)
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"}) from error
        may = [name for name, row in TABLE.items() if _admits(row.rule, caller)]
        return web.json_response({"name": caller.name, "methods": may})


def read_files() -> dict[str, File]:
    """Return every file of the page, by its name. It reads from disk: call it in a thread."""
    return {
        each.name: (each.read_bytes(), CONTENT_TYPES[each.name.rpartition(".")[2]])
        for each in files(__name__).joinpath("page").iterdir()
    }


def _admits(rule: Rule, caller: Caller) -> bool:
    try:
        rule.admit(caller)
    except NotAllowed:
        return False
    return True
