"""What is spoken at a port: TLS or plain text, found out by beginning a handshake."""

from __future__ import annotations

import ssl
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket


class Spoken(Enum):
    """What was heard at a port."""

    PLAIN = "plain"
    TLS = "tls"
    MUTUAL_TLS = "mutual tls"
    """TLS, and the client has to show a certificate."""
    NOTHING = "nothing"
    """Nothing in time, or nothing that is known."""


def spoken(connected: socket.socket) -> Spoken:
    """Begin a TLS handshake over a new connection, and tell what came of it; nothing is sent.

    Whether the server's certificate is trusted does not matter.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with context.wrap_socket(connected) as channel:
            return Spoken.TLS if _goes_on(channel) else Spoken.MUTUAL_TLS
    except ssl.SSLError as error:
        return _meaning(error.reason or "")
    except (OSError, ValueError):
        return Spoken.NOTHING


def _goes_on(channel: ssl.SSLSocket) -> bool:
    """Tell whether the server keeps the connection.

    One without the certificate that it wants it closes; otherwise gRPC's servers speak first.
    """
    try:
        return bool(channel.recv(1))
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def _meaning(reason: str) -> Spoken:
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return Spoken.MUTUAL_TLS
    if "ALERT" in reason:
        return Spoken.TLS
    plain = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP")
    return Spoken.PLAIN if any(word in reason for word in plain) else Spoken.NOTHING
