"""How a connection is encrypted: whom the client trusts, and its own certificate."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc

Pem = bytes | str | os.PathLike[str]
"""The path of a PEM file, or (bytes) what such a file holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What an encrypted connection needs: credentials that are ready, or what makes them.

    Without `ca` the authorities that gRPC knows are trusted.
    """

    credentials: grpc.ChannelCredentials | None = None
    ca: Pem | None = field(default=None, repr=False)
    cert: Pem | None = field(default=None, repr=False)
    key: Pem | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check what fits together; nothing is read.

        Raises:
            TypeError, ValueError: it contradicts itself, or one of them is none.
        """
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: give both or neither")
        given = {"ca": self.ca, "cert": self.cert, "key": self.key}
        for name in [name for name, pem in given.items() if pem is not None]:
            _check_kind(name, given[name])
            if self.credentials is not None:
                raise ValueError(f"credentials and {name} contradict each other: give one")

    def read(self) -> grpc.ChannelCredentials:
        """Read the files and return what gRPC takes.

        Raises:
            OSError: a file cannot be read.
            ValueError: one is no PEM, or certificate and key do not belong together.
        """
        if self.credentials is not None:
            return self.credentials
        ca = _content("ca", self.ca, "CERTIFICATE")
        cert = _content("cert", self.cert, "CERTIFICATE")
        key = _content("key", self.key, "PRIVATE KEY")
        _check_authority(ca)
        _check_pair(self.cert, self.key)
        return grpc.ssl_channel_credentials(ca, key, cert)


def tls(
    credentials: grpc.ChannelCredentials | None, ca: Pem | None, cert: Pem | None, key: Pem | None
) -> Tls | None:
    """Return how to encrypt; None for plain text, where nothing is given.

    Raises:
        TypeError, ValueError: what is given contradicts itself, or one of them is none.
    """
    if all(each is None for each in (credentials, ca, cert, key)):
        return None
    return Tls(credentials=credentials, ca=ca, cert=cert, key=key)


def _check_kind(name: str, pem: object) -> None:
    if isinstance(pem, str) and "-----BEGIN" in pem:  # else it would be told as a missing file
        raise ValueError(f"{name} is PEM as text: give it as bytes, or give the path of a file")
    if not isinstance(pem, bytes | str | os.PathLike):
        raise TypeError(f"{name} must be a path, or PEM as bytes, not {type(pem).__name__}")


def _content(name: str, pem: Pem | None, kind: str) -> bytes | None:
    """Return what is in a PEM file, or the bytes themselves."""
    if pem is None:
        return None
    content = pem if isinstance(pem, bytes) else Path(pem).read_bytes()
    if b"ENCRYPTED" in content:
        raise ValueError(f"{name} has a password: give one that has none")
    if b"-----BEGIN " not in content or f"{kind}-----".encode() not in content:
        raise ValueError(f"{name} is no PEM: there is no -----BEGIN {kind}----- in it")
    return content


def _check_authority(ca: bytes | None) -> None:
    """Refuse what gRPC would take, and trust nobody by."""
    try:
        if ca is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=ca.decode())
    except (ssl.SSLError, ValueError):
        raise ValueError("ca holds no certificate that can be read") from None


def _check_pair(cert: Pem | None, key: Pem | None) -> None:
    """Refuse files of which gRPC would say nothing, and fail each time."""
    if cert is None or key is None or isinstance(cert, bytes) or isinstance(key, bytes):
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        why = error.reason or "they cannot be read"
        raise ValueError(f"cert and key do not belong together, or are none: {why}") from None


PLAIN_PORT = "WRONG_VERSION_NUMBER"
_HINTS = {
    PLAIN_PORT: "nothing is encrypted there: leave out ca, cert, key and credentials",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted: give the ca that signed it",
    "Hostname Verification Check failed": "its certificate is for other names",
    "Socket closed": "perhaps it speaks TLS, wants a certificate of the client, or has no room"
    " for a connection",
}
"""What gRPC's words, when no connection can be made, mean."""


def explained(details: str) -> str:
    """Return gRPC's words for a call that failed, with what they mean if it is about TLS."""
    if not details.startswith("failed to connect"):
        return details
    return "; ".join([details, *(hint for word, hint in _HINTS.items() if word in details)][:2])
