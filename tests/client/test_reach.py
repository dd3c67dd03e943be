"""Why no server answered is told in one line, which says what to do."""

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
import trustme

from client.fake_server import FakeServer
from orderintake import Client
from orderintake.reach import advice

PLACE = "shop:50051"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


class Network:
    """What connecting to each host meets; the socket of one that is there."""

    def __init__(self, **hosts: Exception | None) -> None:
        self.hosts = hosts
        self.asked: list[Any] = []

    def __call__(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.asked.append(address)
        found = self.hosts.get(address[0].replace(".", "_"))
        if found is not None:
            raise found
        return socket.socket()


def look(monkeypatch: pytest.MonkeyPatch, target: str, **hosts: Exception | None) -> str:
    monkeypatch.setattr(socket, "create_connection", Network(**hosts))
    told = advice(target)
    assert "\n" not in told
    return told


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (REFUSED, "nothing listens at shop:1: start orderintake-server there"),
        (socket.gaierror(-2, "unknown"), "no machine of the name shop is known here"),
        (TimeoutError(), "shop does not react on port 1"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable"),
        (OverflowError("port must be 0-65535."), "shop:1 cannot be reached: port must be"),
        (None, "something listens at shop:1, but did not answer in time"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
@pytest.mark.parametrize("scheme", ["", "dns:", "dns:///"])
def test_each_way_to_fail_is_told(
    monkeypatch: pytest.MonkeyPatch, failure: Exception | None, told: str, scheme: str
) -> None:
    found = look(monkeypatch, f"{scheme}shop:1", shop=failure)
    assert told in found.replace(scheme, "")


def test_of_many_places_one_that_listens_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    target = "ipv4:127.0.0.1:1,127.0.0.2:2"
    assert "something listens" in look(monkeypatch, target, **{"127_0_0_1": REFUSED})
    assert "nothing listens at 127.0.0.1:1" in look(
        monkeypatch, target, **{"127_0_0_1": REFUSED, "127_0_0_2": REFUSED}
    )


def test_an_ipv6_host_is_found_in_its_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    monkeypatch.setattr(socket, "create_connection", network)
    for target in ("[::1]:50051", "ipv6:[::1]:50051"):
        advice(target)
    assert network.asked == [("::1", 50051)] * 2


@pytest.mark.parametrize("target", ["unix:/run/orders", "unix-abstract:orders", "xds:///orders"])
def test_a_target_without_a_port_is_told_without_a_look(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    network = Network()
    monkeypatch.setattr(socket, "create_connection", network)
    assert advice(target).startswith(f"no server answers at {target}: ")
    assert network.asked == []


@pytest.mark.parametrize("name", ["grpc_proxy", "https_proxy", "http_proxy"])
def test_a_proxy_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://user:password@proxy:1")
    told = advice(PLACE)
    assert f"through the proxy that {name} names: unset {name}, or set no_proxy=shop" in told
    assert "password" not in told


@pytest.mark.parametrize("name", ["no_grpc_proxy", "no_proxy"])
def test_a_proxy_that_is_not_used_is_not_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:1")
    monkeypatch.setenv(name, "example.com, shop")
    assert "proxy" not in look(monkeypatch, PLACE)


@pytest.mark.parametrize("target", ["127.0.0.1:1", "localhost:1", "[::1]:1", "ipv6:[::1]:1"])
def test_this_machine_is_reached_through_no_proxy(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:1")
    assert "proxy" not in look(monkeypatch, target)


def test_a_call_to_this_machine_passes_no_proxy(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("localhost", "127.0.0.1"):
        with Client(f"{name}:{server.port}", api_key="oik_1") as client:
            client.get("order-1")


AUTHORITY = trustme.CA()


@contextmanager
def secure(*, wants_clients: bool) -> Iterator[str]:
    """Run a server with TLS; give its target."""
    issued = AUTHORITY.issue_cert("127.0.0.1")
    pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
    roots = AUTHORITY.cert_pem.bytes() if wants_clients else None
    with FakeServer(grpc.ssl_server_credentials([pair], roots, wants_clients)) as server:
        yield server.target


@pytest.mark.parametrize(
    ("wants_clients", "is_encrypted", "told"),
    [
        (False, False, "speaks TLS: give --ca FILE"),
        (True, False, "wants a client's certificate: give --ca, --cert and --key"),
        (False, True, "something listens at"),
        (True, True, "wants a client's certificate that it trusts: give --cert and --key"),
    ],
)
def test_a_port_for_tls_is_told(*, wants_clients: bool, is_encrypted: bool, told: str) -> None:
    with secure(wants_clients=wants_clients) as target:
        assert told in advice(target, is_encrypted=is_encrypted)


def test_a_port_without_tls_is_told(server: FakeServer) -> None:
    assert "nothing is encrypted at 127.0.0.1" in advice(server.target, is_encrypted=True)
    assert "something listens at" in advice(server.target)


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ready\r\n", b""])
def test_another_program_is_told_as_one(says: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connected, _ = listener.accept()
            with connected:
                connected.recv(1)
                connected.sendall(says)

        answering = threading.Thread(target=answer)
        answering.start()
        assert "another program" in advice(f"127.0.0.1:{listener.getsockname()[1]}")
        answering.join()


def test_what_grpc_says_of_certificates_is_told() -> None:
    said = "CERTIFICATE_VERIFY_FAILED: self signed certificate"
    assert "give --ca FILE" in advice(PLACE, is_encrypted=True, told=said)
    said = "Hostname Verification Check failed."
    assert "is for other names" in advice(PLACE, is_encrypted=True, told=said)
