"""Why no server answered is told in one line, which says what to do."""

import errno
import socket
from typing import Any

import pytest

from orderintake.reach import advice

PLACE = "127.0.0.1:50051"


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
    assert f"through the proxy that {name} names: unset {name}, or set no_proxy=127.0.0.1" in told
    assert "password" not in told


@pytest.mark.parametrize("name", ["no_grpc_proxy", "no_proxy"])
def test_a_proxy_that_is_not_used_is_not_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:1")
    monkeypatch.setenv(name, "example.com, 127.0.0.1")
    assert "proxy" not in look(monkeypatch, PLACE)
