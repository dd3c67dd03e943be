"""Why no server answered, found out by looking, in words that say what to do."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING

from orderintake.access.local import is_local
from orderintake.access.port import Spoken, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOOK_SECONDS = 1.0
"""For how long it is tried to connect to one address."""

_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_PROXIES = ("no_grpc_proxy", "no_proxy")
"""The variables that grpc reads, in its order; the first that is set counts."""

_ENCRYPTED = {
    Spoken.PLAIN: "nothing is encrypted at {}: leave out --tls, --ca, --cert and --key, and unset"
    " the variables of these names",
    Spoken.MUTUAL_TLS: "the server at {} wants a client's certificate that it trusts: give --cert"
    " and --key",
}
_PLAIN = {
    Spoken.TLS: "the server at {} speaks TLS: give --ca FILE, the authority of its certificate, or"
    " --tls",
    Spoken.MUTUAL_TLS: "the server at {} speaks TLS, and wants a client's certificate: give --ca,"
    " --cert and --key",
}
"""What to do about what is spoken, if the client spoke TLS, and if it did not."""
_CERTIFICATES = {
    "CERTIFICATE_VERIFY_FAILED": "nobody who is trusted here signed the certificate of the server"
    " at {}: give --ca FILE, the authority that did",
    "Hostname Verification Check failed": "the certificate of the server at {} is for other names:"
    " use one of those",
}
"""What gRPC's words say of the server's certificate."""

_DNS = re.compile(r"dns:(?://[^/]*/)?")
_PLACE = re.compile(r"\[?([^\[\]]+?)\]?:(\d+)")


def advice(target: str, *, is_encrypted: bool = False, told: str = "") -> str:
    """Look at the target of a call that no server answered; tell why, and what to do.

    `told` is what gRPC said.
    """
    for words, meaning in _CERTIFICATES.items():
        if words in told:
            return meaning.format(target)
    places = [] if target.startswith("unix") else list(_places(target))
    if not places:
        return f"no server answers at {target}: is orderintake-server running there?"
    hosts = [host for host, _ in places]
    if proxy := _proxy(hosts):
        return (
            f"{target} is not reached through the proxy that {proxy} names: unset {proxy},"
            f" or set no_proxy={','.join(hosts)}"
        )
    meanings = _ENCRYPTED if is_encrypted else _PLAIN
    looks = [_look(host, port, meanings) for host, port in places]
    if all(looks):
        return looks[0]
    return (
        f"something listens at {target}, but did not answer in time as orderintake does: a busy or"
        " starting server, or another program"
    )


def _places(target: str) -> Iterator[tuple[str, int]]:
    """Give the hosts and ports of a target."""
    for text in re.sub(r"ipv[46]:(?=.*:)", "", _DNS.sub("", target, count=1)).split(","):
        if match := _PLACE.fullmatch(text):
            yield match[1], int(match[2])


def _proxy(hosts: list[str]) -> str:
    """Name the variable of the proxy that grpc uses for one of these hosts; "" for none."""
    used = next((name for name in _PROXIES if os.environ.get(name)), "")
    excluded = next((os.environ[name] for name in _NO_PROXIES if os.environ.get(name)), "")
    ends = tuple(end.strip() for end in excluded.split(",") if end.strip())
    far = (host for host in hosts if not is_local(f"[{host}]" if ":" in host else host))
    return used if any(not host.endswith(ends) for host in far) else ""


def _look(host: str, port: int, meanings: Mapping[Spoken, str]) -> str:
    """Try to connect; tell what is wrong, "" for nothing: a meaning of what is spoken is too."""
    try:
        with socket.create_connection((host, port), timeout=LOOK_SECONDS) as connected:
            return meanings.get(spoken(connected), "").format(f"{host}:{port}")
    except socket.gaierror:
        return f"no machine of the name {host} is known here: look at --server again"
    except TimeoutError:
        return f"{host} does not react on port {port}: is it on, and is no firewall between?"
    except ConnectionRefusedError:
        return (
            f"nothing listens at {host}:{port}: start orderintake-server there, or name another"
            " place by --server"
        )
    except (OSError, ValueError, OverflowError) as error:
        return f"{host}:{port} cannot be reached: {getattr(error, 'strerror', None) or error}"
