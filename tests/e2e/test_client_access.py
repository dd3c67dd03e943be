"""Our clients on the real process with TLS: keys, certificates, and tokens that are renewed."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from orderintake import AsyncClient, Client, NotAllowed, Unauthenticated, Unavailable
from orderintake_server.testing import serving
from support.authority import Authority
from support.callers import entry, key_of, write_access
from support.issuer import ISSUER, Key, claims, write_jwks
from support.pki import Pki
from support.process import ServerProcess, server_process

SHOP = key_of("shop")
EC = Key("ec")
ORDERS, TOKENS = 500, 3
"""How many calls are made at the least, and how many tokens are used up meanwhile."""
TASKS = 8
LIFE_SECONDS = 3


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.fixture
def server(pki: Pki, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with TLS that knows the shop's key and an issuer's tokens."""
    shop = entry("shop", "customer", "vip", customer="*")
    arguments = (
        *pki.arguments,
        *("--access", str(write_access(tmp_path / "access.toml", [shop]))),
        *("--jwt-keys", str(write_jwks(tmp_path / "keys.json", EC)), "--jwt-issuer", ISSUER),
        *("--jwt-leeway", "0", "--workers", "8"),
    )
    with server_process(tmp_path / "data", *arguments) as process:
        yield process


class Issuer:
    """Gives tokens that live for some seconds; any thread may ask."""

    def __init__(self) -> None:
        self.given = 0

    def __call__(self) -> str:
        self.given += 1
        changed = {"roles": ["customer", "subscriber"]}
        return EC.sign(claims(time.time(), life=LIFE_SECONDS, **changed))

    async def later(self) -> str:
        await asyncio.sleep(0)
        return self()


def order(number: int) -> dict[str, Any]:
    return {"customer_id": "ada", "lines": {"tea": 1}, "request_id": f"r{number}"}


@pytest.mark.seconds
def test_the_client_for_threads_places_and_watches_with_a_key(
    pki: Pki, server: ServerProcess
) -> None:
    with (
        Client(server.address, ca=pki.ca, api_key=SHOP) as client,
        client.completions() as completions,
    ):
        placed = client.place(customer_id="ada", lines={"tea": 1}).order.order_id
        assert next(completions).order.order_id == placed
        with pytest.raises(NotAllowed) as caught:
            client.queue_stats()
        assert caught.value.needs == "observer"
    with Client(server.address, ca=pki.ca) as client, pytest.raises(Unauthenticated) as unknown:
        client.get(placed)
    assert unknown.value.problem == "MISSING"


@pytest.mark.seconds
async def test_the_client_for_asyncio_does_the_same(pki: Pki, server: ServerProcess) -> None:
    async with (
        AsyncClient(server.address, ca=pki.ca, api_key=SHOP) as client,
        client.completions() as completions,
    ):
        placed = (await client.place(customer_id="ada", lines={"tea": 1})).order.order_id
        assert (await anext(completions)).order.order_id == placed
    async with AsyncClient(server.address, ca=pki.ca, api_key=key_of("nobody")) as client:
        with pytest.raises(Unauthenticated) as unknown:
            await client.get(placed)
    assert unknown.value.problem == "INVALID"


@pytest.mark.seconds
def test_a_certificate_of_the_client_tells_who_it_is(pki: Pki, tmp_path: Path) -> None:
    uri = "spiffe://shop.example/ada"
    authority = Authority()
    pair = authority.pair("ada", x509.UniformResourceIdentifier(uri))
    (tmp_path / "clients.crt").write_bytes(authority.certificate)
    (tmp_path / "client.key").write_bytes(pair.key)
    known = f'[ada]\ncertificate = "{uri}"\nroles = ["customer"]\ncustomer = "ada"\n'
    access = write_access(tmp_path / "access.toml", [known])
    arguments = ("--tls-client-ca", str(tmp_path / "clients.crt"), "--access", str(access))
    with server_process(tmp_path / "data", *pki.arguments, *arguments) as server:
        key = tmp_path / "client.key"
        with Client(server.address, ca=pki.ca, cert=pair.certificate, key=key) as client:
            order = client.place(customer_id="ada", lines={"tea": 1}).order
            assert client.get(order.order_id).order.customer_id == "ada"
        with (
            Client(server.address, ca=pki.ca, timeout=10) as client,
            pytest.raises(Unavailable, match="wants a certificate of the client"),
        ):
            client.get(order.order_id)


@pytest.mark.seconds
def test_a_server_under_test_speaks_tls_and_who_does_not_is_told(pki: Pki, tmp_path: Path) -> None:
    with serving(data=tmp_path / "data", tls_cert=pki.cert, tls_key=pki.key) as shop:
        with Client(shop.address, ca=pki.ca) as client:
            client.place(customer_id="ada", lines={"tea": 1})
        with (
            Client(shop.address) as client,
            pytest.raises(Unavailable, match="perhaps it speaks TLS"),
        ):
            client.queue_stats()


def assert_goes_on(issuer: Issuer, sequences: list[int], count: int) -> None:
    """Nothing is lost, nothing comes twice, and one asked for a token for all."""
    assert sequences == list(range(1, count + 1))
    assert TOKENS <= issuer.given < ORDERS / 10


@pytest.mark.seconds
@pytest.mark.parametrize("is_async", [False, True])
async def test_tokens_are_renewed_while_calls_run_and_a_stream_is_open(
    pki: Pki, server: ServerProcess, *, is_async: bool
) -> None:
    issuer = Issuer()
    token = issuer.later if is_async else issuer
    numbers = itertools.count(1)
    placed: list[int] = []

    async def place(client: AsyncClient) -> None:
        while len(placed) < ORDERS or issuer.given < TOKENS:
            number = next(numbers)
            assert not (await client.place(**order(number))).replayed
            placed.append(number)

    async with (
        AsyncClient(server.address, ca=pki.ca, token=token) as client,
        client.completions(heartbeat_interval=1) as completions,
    ):
        await asyncio.gather(*(place(client) for _ in range(TASKS)))
        found = [(await anext(completions)).sequence for _ in placed]
    assert_goes_on(issuer, found, len(placed))


@pytest.mark.seconds
def test_tokens_are_renewed_for_threads_too(pki: Pki, server: ServerProcess) -> None:
    issuer = Issuer()
    numbers = itertools.count(1)
    placed: list[int] = []
    lock = threading.Lock()

    def place(client: Client) -> None:
        while len(placed) < ORDERS or issuer.given < TOKENS:
            with lock:
                number = next(numbers)
            assert not client.place(**order(number)).replayed
            placed.append(number)

    with (
        Client(server.address, ca=pki.ca, token=issuer) as client,
        client.completions(heartbeat_interval=1) as completions,
        ThreadPoolExecutor(TASKS) as threads,
    ):
        list(threads.map(place, [client] * TASKS))
        found = [next(completions).sequence for _ in placed]
    assert_goes_on(issuer, found, len(placed))
