"""Whether other machines reach an address, and whether they may."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from orderintake_server.errors import StartupFailed
from orderintake_server.logger import get_logger

EVERY_ADDRESS = "*"
"""In the place of a host: all addresses of the machine, in gRPC's word and in ours."""

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What makes it safe that other machines reach a listener, or that an operator accepts it.

    `cure` says what would make it safe.
    """

    is_encrypted: bool
    knows_callers: bool
    is_accepted: bool
    cure: str

    def check(self, address: str) -> None:
        """Raise StartupFailed when an address that other machines reach is neither."""
        lacks = [
            *([] if self.is_encrypted else ["what is said there is not encrypted"]),
            *([] if self.knows_callers else ["anybody there may do everything"]),
        ]
        if lacks and not self.is_accepted:
            raise StartupFailed(
                f"cannot listen on {address}: other machines reach it, and {', and '.join(lacks)}. "
                f"{self.cure}; or say --insecure"
            )
        if lacks:
            log.warning("other machines reach this server", address=address, insecure=lacks)


def is_loopback(address: str) -> bool:
    """Tell whether only programs on this machine have this address, or reach it."""
    if address == EVERY_ADDRESS:
        return False
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
