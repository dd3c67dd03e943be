"""What gRPC tells of a call's caller: its metadata, its certificate and its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.access import Credentials
from orderintake_server.telemetry import traces

if TYPE_CHECKING:
    from orderintake_server.rpc.messages import Context

_CERTIFICATES = ("peer_uri", "peer_spiffe_id")
"""What gRPC calls the names that count. Its identities mix names of all kinds: a DNS name may read
like a URI, and a certificate without names gives its subject."""


def headers_of(context: Context) -> tuple[Credentials, bytes | None]:
    """Return what a call says of its caller, and that one's trace context."""
    authorization, trace = [], None
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            authorization.append(str(value))
        elif key == traces.HEADER:
            trace = traces.read(str(value))  # gRPC gives one; of several the last
    return Credentials(authorization, lambda: _certificate(context), context.peer), trace


def _certificate(context: Context) -> str | None:
    """Return the URI that the client's certificate names, if there is exactly one."""
    found = context.auth_context()
    for kind in _CERTIFICATES:
        if kind in found:
            names = list(found[kind])
            return names[0].decode(errors="replace") if len(names) == 1 else None
    return None
