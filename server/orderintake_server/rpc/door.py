"""Lets calls in: finds who makes each, and what the method's rule allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.access import Credentials
from orderintake_server.api.access import Call
from orderintake_server.telemetry import traces

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.access import Callers
    from orderintake_server.api.access import Rule
    from orderintake_server.rpc.messages import Context
    from orderintake_server.rpc.recorder import Record

_CERTIFICATES = ("peer_uri", "peer_spiffe_id")
"""What gRPC calls the names that count. Its identities mix names of all kinds: a DNS name may read
like a URI, and a certificate without names gives its subject."""


class Door:
    """The one way into a method, before its request is read; and the watch over open streams."""

    def __init__(self, callers: Callers, clock: Callable[[], int]) -> None:
        """Let in whom `callers` knows; `clock` returns microseconds since 1970."""
        self._callers = callers
        self._clock = clock

    def let_in(
        self, context: Context, rule: Rule, authorization: list[str], record: Record
    ) -> Call:
        """Return the call. Raises Unauthenticated or NotAllowed."""
        peer = context.peer
        known = Credentials(authorization, lambda: _certificate(context), peer)
        caller = self._callers.identify(known)
        record.about["caller"] = caller.name
        owner = rule.admit(caller)
        return Call(caller, owner, peer, record.trace, record.span, record.about)

    def check(self, call: Call) -> None:
        """Raise Unauthenticated when the right of a call's caller has ended meanwhile."""
        call.caller.check(self._clock())


def headers_of(context: Context) -> tuple[list[str], bytes | None]:
    """Return a call's `authorization` headers, and its caller's trace context."""
    authorization, trace = [], None
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            authorization.append(str(value))
        elif key == traces.HEADER:
            trace = traces.read(str(value))  # gRPC gives one; of several the last
    return authorization, trace


def _certificate(context: Context) -> str | None:
    """Return the URI that the client's certificate names, if there is exactly one."""
    found = context.auth_context()
    for kind in _CERTIFICATES:
        if kind in found:
            names = list(found[kind])
            return names[0].decode(errors="replace") if len(names) == 1 else None
    return None
