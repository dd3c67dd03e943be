"""The Node consumer of docs/consuming.md: it goes on across kills of the server and of itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orderintake import Client
from support.callers import entry, key_of, write_access
from support.node import NodeProgram, installed, node_program
from support.pki import Pki
from support.process import server_process
from support.program import free_port


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("node"))


def read(consumer: NodeProgram, count: int) -> list[int]:
    """Give the sequences of the next completions that it handles."""
    return [int(consumer.read()["sequence"]) for _ in range(count)]


@contextmanager
def consuming(
    folder: Path, address: str, cursor: str = "cursor", **variables: str
) -> Iterator[NodeProgram]:
    with node_program(folder, "consume.mjs", address, cursor, **variables) as consumer:
        yield consumer


def place(address: str, count: int, **options: Any) -> None:  # noqa: ANN401 - as the client's
    with Client(address, **options) as client:
        for _ in range(count):
            client.place(customer_id="ada", lines={"tea": 1})


@pytest.mark.seconds
@pytest.mark.timeout(110)
def test_the_node_consumer_handles_each_completion_once_across_kills(
    folder: Path, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with server_process(tmp_path, "--listen", address) as server:
        place(address, 20)
        with consuming(folder, address) as consumer:
            found = read(consumer, 20)
            server.kill()
            with server_process(tmp_path, "--listen", address):
                place(address, 5)
                found += read(consumer, 5)
                consumer.process.terminate()
                assert consumer.ends() == (0, "")
                place(address, 5)
                with consuming(folder, address) as second:
                    found += read(second, 5)
    assert found == list(range(1, 31))


@pytest.mark.seconds
def test_the_node_consumer_stops_where_a_person_has_to_decide(folder: Path, tmp_path: Path) -> None:
    (folder / "cursor").write_text("no cursor\n")
    with server_process(tmp_path) as server, consuming(folder, server.address) as consumer:
        code, errors = consumer.ends()
    assert code == 1
    assert "INVALID_ARGUMENT" in errors


@pytest.fixture
def guarded(tmp_path: Path) -> tuple[Pki, tuple[str, ...]]:
    """TLS, and a shop and a reader with keys: the authority, and a server's arguments."""
    pki = Pki(tmp_path)
    entries = [entry("shop", "customer", customer="*"), entry("reader", "subscriber")]
    access = write_access(tmp_path / "access.toml", entries)
    return pki, (*pki.arguments, "--access", str(access))


@pytest.mark.seconds
def test_the_node_consumer_reads_with_tls_and_a_key(
    folder: Path, tmp_path: Path, guarded: tuple[Pki, tuple[str, ...]]
) -> None:
    pki, arguments = guarded
    with server_process(tmp_path, *arguments) as server:
        place(server.address, 3, ca=pki.ca, api_key=key_of("shop"))
        variables = {"ORDERINTAKE_CA": str(pki.ca), "ORDERINTAKE_API_KEY": key_of("reader")}
        with consuming(folder, server.address, "guarded", **variables) as consumer:
            assert read(consumer, 3) == [1, 2, 3]
        del variables["ORDERINTAKE_API_KEY"]
        with consuming(folder, server.address, "guarded", **variables) as consumer:
            code, errors = consumer.ends()
    assert code == 1
    assert "UNAUTHENTICATED" in errors


@pytest.mark.seconds
def test_the_node_consumer_shows_its_certificate(
    folder: Path, tmp_path: Path, guarded: tuple[Pki, tuple[str, ...]]
) -> None:
    pki, arguments = guarded
    issued = pki.authority.issue_cert("reader")
    cert, key = tmp_path / "reader.crt", tmp_path / "reader.key"
    cert.write_bytes(issued.cert_chain_pems[0].bytes())
    key.write_bytes(issued.private_key_pem.bytes())
    own = {"ORDERINTAKE_CERT": str(cert), "ORDERINTAKE_KEY": str(key)}
    variables = {"ORDERINTAKE_CA": str(pki.ca), "ORDERINTAKE_API_KEY": key_of("reader"), **own}
    with server_process(tmp_path, *arguments, "--tls-client-ca", str(pki.ca)) as server:
        shop = {"ca": pki.ca, "cert": cert, "key": key, "api_key": key_of("shop")}
        place(server.address, 2, **shop)
        with consuming(folder, server.address, "mutual", **variables) as consumer:
            assert read(consumer, 2) == [1, 2]


@pytest.mark.seconds
def test_the_node_consumer_sends_no_key_in_plain_text(folder: Path) -> None:
    secret = {"ORDERINTAKE_API_KEY": key_of("reader")}
    with consuming(folder, "shop.example:50051", "plain", **secret) as consumer:
        code, errors = consumer.ends()
    assert code == 1
    assert "no key is sent in plain text to shop.example:50051" in errors
    assert key_of("reader") not in errors
