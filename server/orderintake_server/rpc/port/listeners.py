"""Every address that the server listens on, plain or by TLS, and which of them are safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.access.exposure import is_loopback
from orderintake_server.rpc.port.addresses import bind, resolved
from orderintake_server.rpc.port.sockets import PREFIX, bind_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc

    from orderintake_server.access.exposure import Exposure
    from orderintake_server.rpc.port.tls import Certificates


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
        if not all(map(is_loopback, found)):
            exposure.check(address)
        port = await bind(_adding(server, certificates), address, found)
        bound.append(f"{address.rpartition(':')[0]}:{port}")
    return tuple(bound)


def _adding(server: grpc.aio.Server, certificates: Certificates | None) -> Callable[[str], int]:
    if certificates is None:
        return server.add_insecure_port
    return lambda address: server.add_secure_port(address, certificates.credentials())
