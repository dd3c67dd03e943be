"""TLS: the server's certificate, read anew when its files change, and whose clients it wants."""

from __future__ import annotations

import shlex
import ssl
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from orderintake_server.config.watched import BadFile
from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from pathlib import Path

SETTLE_SECONDS = 0.1
"""So long no new handshake begins before a certificate is replaced. Without that gRPC's core uses
what it has freed when two handshakes meet (grpc#36693), and the process ends: at 0.02 s it lived,
at 0.002 s it did not."""
_OTHERS = stat.S_IRWXO | stat.S_IWGRP
"""Rights to a private key that nobody needs; a group that may read it is a usual way."""

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The PEM files of a certificate chain, its private key, and whose clients are wanted.

    With `client_ca`, every client must show a certificate that this authority signed.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.cert, self.key, *([self.client_ca] if self.client_ca else []))


class Certificate(NamedTuple):
    """A certificate with its key, as gRPC takes them."""

    configuration: Any
    ends: float | None
    """When it ends, in seconds since 1970; None where that cannot be read."""


def read(files: TlsFiles) -> Certificate:
    """Read the files; warn when others may use the private key.

    Raises BadFile, also when key and certificate do not belong together, of which gRPC
    would say nothing.
    """
    _check(files)
    try:
        _warn_of_others(files.key)
        chain = files.cert.read_bytes()
        configuration = grpc.ssl_server_certificate_configuration(
            [(files.key.read_bytes(), chain)],
            root_certificates=files.client_ca.read_bytes() if files.client_ca else None,
        )
    except OSError as error:  # it was there a moment ago
        raise BadFile(f"{error.filename}: {error.strerror}") from error
    return Certificate(configuration, _end_of(chain))


def _end_of(chain: bytes) -> float | None:
    """Tell when a certificate ends, where there is a library that reads them."""
    try:
        from cryptography import x509  # noqa: PLC0415 - of the extra jwt
    except ImportError:
        return None
    return x509.load_pem_x509_certificate(chain).not_valid_after_utc.timestamp()


def _check(files: TlsFiles) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    reading = files.cert
    try:
        files.cert.read_bytes()
        reading = files.key
        files.key.read_bytes()
        context.load_cert_chain(files.cert, files.key, password=_no_password)
        if files.client_ca is not None:
            reading = files.client_ca
            context.load_verify_locations(files.client_ca)
    except OSError as error:  # ssl.SSLError is one
        why = getattr(error, "reason", None) or error.strerror or str(error)
        raise BadFile(f"{reading}: {why}") from error
    except ValueError as error:
        raise BadFile(f"{reading}: {error}") from error


def _warn_of_others(key: Path) -> None:
    if key.stat().st_mode & _OTHERS:
        log.warning(
            "others on this machine may read or change the private key",
            mend=shlex.join(["chmod", "g-w,o-rwx", str(key)]),
        )


def _no_password() -> str:
    raise ValueError("the key has a password; give one that has none")


class Certificates:
    """The certificate that new connections get, which may be replaced at any time."""

    def __init__(self, first: Certificate, *, wants_clients: bool) -> None:
        """Begin with this one; with `wants_clients`, clients must show theirs."""
        self.current = first
        self._wants_clients = wants_clients
        self._slots: list[_Slot] = []

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials for one address: gRPC gives the first certificate of each to one."""
        slot = _Slot()
        self._slots.append(slot)
        return grpc.dynamic_ssl_server_credentials(
            self.current.configuration, slot.take, require_client_authentication=self._wants_clients
        )

    def replace(self, certificate: Certificate) -> None:
        """Let the connections from now on have another; those that are open go on."""
        self.current = certificate
        for slot in self._slots:
            slot.configuration = certificate.configuration


class _Slot:
    """Where one address finds the certificate that replaces its own."""

    configuration: Any = None

    def take(self) -> Any:  # noqa: ANN401
        """Take the new certificate, None when there is none: gRPC asks before each handshake.

        It asks in a thread of its own, and lets no handshake of that address begin meanwhile.
        """
        found, self.configuration = self.configuration, None
        if found is not None:
            time.sleep(SETTLE_SECONDS)
        return found
