"""Measures what it costs to know the caller of a call: by key, and by token.

PYTHONPATH=tests .venv/bin/python bench/identify.py
"""

from __future__ import annotations

import tempfile
import time
import timeit
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from orderintake_server.access import AccessTable, KnownCallers, OpenDoor
from orderintake_server.access.entries import parse
from orderintake_server.access.token_keys import VerificationKeys, read_keys
from orderintake_server.access.tokens import TokenRules, Tokens
from orderintake_server.api.methods import TABLE
from orderintake_server.calls.door import Door
from orderintake_server.clock import Clock
from orderintake_server.rpc.headers import headers_of
from orderintake_server.telemetry.spans import NO_SPAN
from support.callers import bearing, entry, key_of
from support.issuer import ISSUER, Key, claims, jwks

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.access import Callers
    from support.callers import Metadata

CALLERS = 1_000
RULE = TABLE["orderintake.v1.OrderIntakeService.PlaceOrder"].rule
CLIENT = (("user-agent", "grpc-python-asyncio/1.85.3 grpc-c/50.0.0 (linux; chttp2)"),)


class Call:
    """What the door asks of a call."""

    def __init__(self, metadata: Metadata) -> None:
        """Carry this metadata."""
        self._metadata = CLIENT + metadata

    def invocation_metadata(self) -> Metadata:
        """Return the metadata."""
        return self._metadata

    def peer(self) -> str:
        """Return an address."""
        return "ipv4:127.0.0.1:7"


def main() -> None:
    """Print microseconds of CPU for each call."""
    clock = Clock()
    keys = [Key(name, name) for name in ("RS256", "PS256", "ES256", "EdDSA")]
    read = read_back(jwks(*keys))
    table = AccessTable(
        parse("".join(entry(f"a{each}", "customer", customer="ada") for each in range(CALLERS)))
    )
    tokens = Tokens(TokenRules(issuer=ISSUER, audience="orderintake"), read, clock)
    token = keys[0].sign(claims(clock() / 1e6))
    known = KnownCallers(table, tokens)
    show("nobody is asked", let_in(OpenDoor(), clock, bearing(key_of("a500"))))
    show(f"a key of {CALLERS}", let_in(known, clock, bearing(key_of("a500"))))
    show(f"a token of {len(token)} bytes, known", let_in(known, clock, bearing(token)))
    for key in keys:
        signed = key.sign(claims(clock() / 1e6))

        def first(signed: str = signed) -> object:
            return Tokens(TokenRules(issuer=ISSUER, audience="orderintake"), read, clock).caller(
                signed
            )

        show(f"a token seen first, {key.algorithm}", first, number=200)


def read_back(data: bytes) -> VerificationKeys:
    """Read keys from a file, as a server does."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "keys.json"
        path.write_bytes(data)
        return read_keys(path)


def let_in(callers: Callers, clock: Clock, metadata: Metadata) -> Callable[[], object]:
    """Return what lets one call in."""
    door, call = Door(callers, clock), Call(metadata)
    context: Any = call
    record: Any = SimpleNamespace(trace=None, span=NO_SPAN, about={})
    return lambda: door.let_in(headers_of(context)[0], RULE, record)


def show(what: str, function: Callable[[], object], *, number: int = 50_000) -> None:
    """Print the CPU of one call: the best of seven runs, for others use the machine too."""
    best = min(timeit.repeat(function, timer=time.process_time, number=number, repeat=7))
    print(f"{what:32} {best / number * 1e6:8.2f} us")


if __name__ == "__main__":
    main()
