"""Every address that the server listens on, plain or by TLS, and which of them are safe."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed
from orderintake_server.rpc.addresses import bind, resolved
from orderintake_server.rpc.sockets import PREFIX, bind_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How a server may be reached from other machines.

    `is_safe`: by TLS, and by known callers only; `is_accepted`: an operator said that it need not
    be safe.
    """

    is_safe: bool
    is_accepted: bool


async def listen_on(
    server: grpc.aio.Server,
    addresses: Sequence[str],
    credentials: grpc.ServerCredentials | None,
    exposure: Exposure,
) -> tuple[str, ...]:
    """Bind all addresses, TCP ones with the credentials; return them, with the ports that they got.

    Raises StartupFailed when one cannot be bound, or could be reached from elsewhere though that is
    not safe.
    """
    add: Callable[[str], int] = server.add_insecure_port
    if credentials is not None:
        add = lambda address: server.add_secure_port(address, credentials)  # noqa: E731
    bound = []
    for address in addresses:
        if address.startswith(PREFIX):
            await bind_socket(server.add_insecure_port, address)
            bound.append(address)
            continue
        found = await resolved(address)
        if not (exposure.is_safe or exposure.is_accepted) and not all(map(_is_loopback, found)):
            raise StartupFailed(_NOT_SAFE.format(address=address))
        port = await bind(add, address, found)
        bound.append(f"{address.rpartition(':')[0]}:{port}")
    return tuple(bound)


_NOT_SAFE = (
    "cannot listen on {address}: other machines would reach it, and anybody there could place VIP "
    "orders, read every order and pause tiers. Give --tls-cert and --tls-key, and say who may call "
    "with --access or --jwt-keys; or say --insecure"
)


def _is_loopback(address: str) -> bool:
    return address != "*" and ipaddress.ip_address(address.partition("%")[0]).is_loopback
