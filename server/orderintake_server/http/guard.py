"""Who may read a page: programs on the same machine, and callers with a role for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from orderintake_server.access import Credentials, Role
from orderintake_server.access.exposure import is_loopback
from orderintake_server.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Collection

    from orderintake_server.access import Callers
    from orderintake_server.metrics import Calls

READERS = frozenset({Role.OPERATOR, Role.OBSERVER})
"""Who may read the metrics from another machine."""
_OWN_NAMES = {"localhost", "127.0.0.1", "[::1]"}
_FORWARDED = ("Forwarded", "X-Forwarded-For", "Via")
"""A proxy on this machine says by these that a request comes from elsewhere."""


class Guard:
    """Lets requests in."""

    def __init__(self, callers: Callers, calls: Calls, hosts: Collection[str]) -> None:
        """Let in whom `callers` knows; count in `calls` whom they do not.

        Answer to the names `hosts`, besides this machine's own; none: to any, but see below.
        """
        self._callers = callers
        self._calls = calls
        self._hosts = frozenset(host.lower() for host in hosts)
        self.is_own_only = True
        """Whether the listener is bound to addresses that only this machine reaches."""

    def check_host(self, request: web.Request) -> None:
        """Refuse pages whose name leads here: of a browser that an attacker's page was loaded in.

        Raises HTTPMisdirectedRequest where a name is meant that leads here rightly, and another
        is said.
        """
        if not (self.is_own_only or self._hosts) or _names_us(request):
            return
        if _host(request) not in self._hosts:
            raise web.HTTPMisdirectedRequest

    def check_reader(self, request: web.Request) -> None:
        """Raise HTTPUnauthorized or HTTPForbidden unless the request may read the metrics."""
        if _is_own(request):
            return
        try:
            headers = request.headers.getall("Authorization", [])
            caller = self._callers.identify(
                Credentials(headers, lambda: None, lambda: str(request.remote))
            )
        except Unauthenticated as error:
            self._calls.not_known(error)
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"}) from error
        if not caller.roles & READERS:
            raise web.HTTPForbidden


def _is_own(request: web.Request) -> bool:
    """Tell whether the request comes from a program on this machine that knows where it asks."""
    peer = request.remote
    is_forwarded = any(name in request.headers for name in _FORWARDED)
    return peer is not None and is_loopback(peer) and not is_forwarded and _names_us(request)


def _names_us(request: web.Request) -> bool:
    return _host(request) in _OWN_NAMES


def _host(request: web.Request) -> str:
    """Return the name in the Host header, without its port."""
    host = request.headers.get("Host", "")
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
