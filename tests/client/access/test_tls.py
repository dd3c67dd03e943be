"""Connections with TLS, from files or bytes, with a client's certificate; and what goes wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from client.blocking import Connect
from client.fake_server import FakeServer
from orderintake import Unavailable

AUTHORITY = trustme.CA()
CA = AUTHORITY.cert_pem.bytes()
OURS = AUTHORITY.issue_cert("kitchen")
CERT, KEY = OURS.cert_chain_pems[0].bytes(), OURS.private_key_pem.bytes()
OTHER = trustme.CA()


def server_credentials(name: str, *, wants_clients: bool = False) -> grpc.ServerCredentials:
    issued = AUTHORITY.issue_cert(name)
    pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
    return grpc.ssl_server_credentials([pair], CA if wants_clients else None, wants_clients)


@pytest.fixture
def secure() -> Iterator[FakeServer]:
    with FakeServer(server_credentials("127.0.0.1")) as server:
        yield server


@pytest.fixture
def mutual() -> Iterator[FakeServer]:
    with FakeServer(server_credentials("127.0.0.1", wants_clients=True)) as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A certificate authority, and a client's certificate and key, as files."""
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    for path, content in zip(paths.values(), (CA, CERT, KEY), strict=True):
        path.write_bytes(content)
    return paths


def test_what_is_needed_comes_from_bytes_or_paths(
    connect: Connect, mutual: FakeServer, files: dict[str, Path]
) -> None:
    as_bytes = {"ca": CA, "cert": CERT, "key": KEY}
    as_text = {name: str(path) for name, path in files.items()}
    for options in (as_bytes, files, as_text, as_bytes | {"key": files["key"]}):
        with connect(mutual.target, api_key="oik_1", timeout=10, **options) as client:
            client.get("order-1")
    assert [each["authorization"] for each in mutual.servicer.metadata] == ["Bearer oik_1"] * 4


def test_streams_and_further_calls_go_the_same_way(connect: Connect, secure: FakeServer) -> None:
    with (
        connect(secure.target, ca=CA, token=lambda: "t1", timeout=10) as client,
        client.completions(from_latest=True),
    ):
        client.queue_stats()
    assert [each["authorization"] for each in secure.servicer.metadata] == ["Bearer t1"] * 2


def test_files_are_read_when_the_client_is_opened(
    connect: Connect, secure: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    with connect(secure.target, ca=CA) as opened:
        opened.close()
    client = connect(secure.target, ca=path, timeout=10)
    with pytest.raises(FileNotFoundError):
        client.open()
    path.write_bytes(CA)
    with client:
        client.get("order-1")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no PEM": ({"ca": b"junk"}, "ca is no PEM: there is no -----BEGIN CERTIFICATE-----"),
    "another kind": ({"ca": CA, "cert": KEY, "key": CERT}, "cert is no PEM"),
    "damaged": (
        {"ca": b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"},
        "ca holds no certificate that can be read",
    ),
    "password": (
        {"ca": CA, "cert": CERT, "key": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"},
        "key has a password: give one that has none",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_pem_is_told_before_anything_is_sent(connect: Connect, name: str) -> None:
    options, told = BAD[name]
    with pytest.raises(ValueError, match=told):
        connect("127.0.0.1:1", **options).open()


def test_files_that_do_not_belong_together_are_told(
    connect: Connect, files: dict[str, Path]
) -> None:
    files["key"].write_bytes(OTHER.issue_cert("kitchen").private_key_pem.bytes())
    with pytest.raises(ValueError, match=r"cert and key do not belong together.*MISMATCH"):
        connect("127.0.0.1:1", **files).open()


def told(connect: Connect, target: str, **options: Any) -> str:  # noqa: ANN401 - the client's
    """Give the message of the error of a call."""
    with connect(target, timeout=10, **options) as client, pytest.raises(Unavailable) as caught:
        client.get("order-1")
    return caught.value.message


@pytest.mark.seconds
def test_the_error_says_that_only_one_side_speaks_tls(
    connect: Connect, server: FakeServer, secure: FakeServer
) -> None:
    assert "nothing is encrypted there: leave out ca" in told(connect, server.target, ca=CA)
    assert "perhaps it speaks TLS" in told(connect, secure.target)


@pytest.mark.seconds
def test_the_error_says_whose_certificate_is_not_trusted(
    connect: Connect, secure: FakeServer, mutual: FakeServer
) -> None:
    others = OTHER.cert_pem.bytes()
    assert "is not trusted: give the ca" in told(connect, secure.target, ca=others)
    assert "wants a certificate of the client" in told(connect, mutual.target, ca=CA)
    with FakeServer(server_credentials("shop.example")) as elsewhere:
        assert "its certificate is for other names" in told(connect, elsewhere.target, ca=CA)
