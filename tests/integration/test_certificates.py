"""Certificates: only a URI that is the only one counts, and nothing that reads like it."""

from collections.abc import AsyncIterator

import grpc
import pytest
from cryptography import x509

from orderintake_server.access import AccessTable, KnownCallers
from orderintake_server.access.entries import parse
from orderintake_server.api.access import ANYONE_KNOWN
from orderintake_server.api.refusals import Refusals
from orderintake_server.calls.door import Door
from orderintake_server.calls.gate import ShutdownGate
from orderintake_server.clock import Clock
from orderintake_server.ids import Ids
from orderintake_server.rpc.binder import Binder, Handlers
from support.authority import Authority, Pair
from support.callers import Metadata, bearing, entry, key_of
from support.every_method import Told, call

URI = "spiffe://shop.example/kitchen"
PATH = "/shop.Shop/WhoAmI"
FILE = f"""{entry("shop", "observer")}
[kitchen]
certificate = "{URI}"
roles = ["worker"]
"""


AUTHORITY = Authority()
SERVER = AUTHORITY.pair("localhost", x509.DNSName("localhost"))


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Serve one method for known callers, over TLS with client certificates."""

    async def answer(_: bytes, __: object) -> bytes:
        return b"let in"

    door = Door(KnownCallers(AccessTable(parse(FILE))), Clock())
    binder = Binder(Refusals(Ids("0123abcd")), ShutdownGate(), door, write_seconds=60)
    bound = binder.handler(PATH, grpc.unary_unary_rpc_method_handler(answer), ANYONE_KNOWN)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handlers({PATH: bound}, bound),))
    credentials = grpc.ssl_server_credentials(
        [SERVER], root_certificates=AUTHORITY.certificate, require_client_auth=True
    )
    opened = server.add_secure_port("localhost:0", credentials)
    await server.start()
    try:
        yield opened
    finally:
        await server.stop(None)


async def told(port: int, pair: Pair, metadata: Metadata = ()) -> Told:
    """Call with this certificate."""
    credentials = grpc.ssl_channel_credentials(AUTHORITY.certificate, *pair)
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        return await call(channel, PATH, b"", metadata)


async def test_the_uri_of_a_certificate_lets_its_caller_in(port: int) -> None:
    names = (x509.DNSName("kitchen.example"), x509.UniformResourceIdentifier(URI))
    assert (await told(port, AUTHORITY.pair("anything", *names))).message == b"let in"


OTHERS = {
    "another URI": (("kitchen", x509.UniformResourceIdentifier(URI + "/2")), "INVALID"),
    "a DNS name with the text of the URI": (("kitchen", x509.DNSName(URI)), "MISSING"),
    "a common name with the text of the URI": ((URI,), "MISSING"),
    "the URI as one of two": (
        (
            "kitchen",
            x509.UniformResourceIdentifier(URI),
            x509.UniformResourceIdentifier("spiffe://shop.example/customer/ada"),
        ),
        "MISSING",
    ),
    "no name": (("kitchen",), "MISSING"),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_whatever_else_a_certificate_says_counts_for_nothing(port: int, name: str) -> None:
    (common, *names), problem = OTHERS[name]
    found = await told(port, AUTHORITY.pair(str(common), *names))  # type: ignore[arg-type]
    assert (found.outcome, found.info.metadata["problem"]) == ("UNAUTHENTICATED", problem)


async def test_a_key_wins_over_the_certificate(port: int) -> None:
    pair = AUTHORITY.pair("kitchen", x509.UniformResourceIdentifier(URI))
    assert (await told(port, pair, bearing(key_of("shop")))).message == b"let in"
    found = await told(port, pair, bearing(key_of("stranger")))
    assert found.info.metadata["problem"] == "INVALID"
