"""Every address that the server listens on, plain or by TLS, and which of them are safe."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed
from orderintake_server.logger import get_logger
from orderintake_server.rpc.port.addresses import bind, resolved
from orderintake_server.rpc.port.sockets import PREFIX, bind_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc

    from orderintake_server.rpc.port.tls import Certificates


log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What makes it safe that other machines reach the server, or that an operator accepts it."""

    is_encrypted: bool
    knows_callers: bool
    is_accepted: bool

    def check(self, address: str) -> None:
        """Raise StartupFailed when an address that other machines reach is neither."""
        lacks = [
            *([] if self.is_encrypted else ["what is said there is not encrypted"]),
            *([] if self.knows_callers else ["anybody there may do everything"]),
        ]
        if lacks and not self.is_accepted:
            raise StartupFailed(
                f"cannot listen on {address}: other machines reach it, and {', and '.join(lacks)}. "
                "Give --tls-cert and --tls-key, and say who may call with --access or --jwt-keys; "
                "or say --insecure"
            )
        if lacks:
            log.warning("other machines reach this server", address=address, insecure=lacks)


async def listen_on(
    server: grpc.aio.Server,
    addresses: Sequence[str],
    certificates: Certificates | None,
    exposure: Exposure,
) -> tuple[str, ...]:
    """Bind all addresses, TCP ones with the certificate; return them, with the ports they got.

    Raises StartupFailed when one cannot be bound, or other machines reach it though they must not.
    """
    bound = []
    for address in addresses:
        if address.startswith(PREFIX):
            await bind_socket(server.add_insecure_port, address)
            bound.append(address)
            continue
        found = await resolved(address)
        if not all(map(_is_loopback, found)):
            exposure.check(address)
        port = await bind(_adding(server, certificates), address, found)
        bound.append(f"{address.rpartition(':')[0]}:{port}")
    return tuple(bound)


def _adding(server: grpc.aio.Server, certificates: Certificates | None) -> Callable[[str], int]:
    if certificates is None:
        return server.add_insecure_port
    return lambda address: server.add_secure_port(address, certificates.credentials())


def _is_loopback(address: str) -> bool:
    return address != "*" and ipaddress.ip_address(address.partition("%")[0]).is_loopback
