"""Where a server listens: on every address that its HOST names, or on none."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from orderintake_server.errors import StartupFailed
from orderintake_server.rpc.port.addresses import bind, resolved


class Port:
    """Binds as gRPC does, on real sockets."""

    def __init__(self) -> None:
        self.bound: list[str] = []
        self.sockets: list[socket.socket] = []

    def add(self, address: str) -> int:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if "[" in host else socket.AF_INET
        found = socket.socket(family)
        self.sockets.append(found)
        try:
            found.bind((host.strip("[]"), int(port)))
            found.listen()
        except OSError as error:
            raise RuntimeError(f"Failed to bind to address {address}") from error
        self.bound.append(host)
        return int(found.getsockname()[1])


@pytest.fixture
def port() -> Iterator[Port]:
    port = Port()
    yield port
    for each in port.sockets:
        each.close()


async def _bind(port: Port, listen: str) -> int:
    return await bind(port.add, listen, await resolved(listen))


def _names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name mean these addresses."""
    found = [(0, 0, 0, "", (address, 0)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


async def test_each_address_of_a_name_is_bound_on_the_same_port(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    _names(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.1")
    number = await _bind(port, "shop:0")
    assert port.bound == ["127.0.0.1", "127.0.0.2"]
    assert {each.getsockname()[1] for each in port.sockets} == {number}


async def test_an_address_of_a_name_that_is_taken_is_told_with_what_to_do(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as first:
        number = first.getsockname()[1]  # free there, once this is closed
    with closing(socket.create_server(("127.0.0.2", number))):
        _names(monkeypatch, "127.0.0.1", "127.0.0.2")
        with pytest.raises(StartupFailed) as failed:
            await _bind(port, f"shop:{number}")
    said = str(failed.value)
    assert said.startswith(f"cannot listen on shop:{number}: 127.0.0.2:{number}: ")
    assert "Address already in use; stop the program that uses it" in said
    assert "--listen" in said


async def test_an_address_that_this_machine_does_not_have_is_left_out(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    _names(monkeypatch, "127.0.0.1", "198.51.100.1")
    await _bind(port, "shop:0")
    assert port.bound == ["127.0.0.1"]
    _names(monkeypatch, "198.51.100.1")
    with pytest.raises(StartupFailed, match=r"198\.51\.100\.1 is no address of this machine"):
        await _bind(port, "shop:0")


async def test_a_name_that_nobody_knows_is_told(port: Port) -> None:
    with pytest.raises(StartupFailed, match=r"cannot listen on no\.such\.host\.invalid:1: "):
        await _bind(port, "no.such.host.invalid:1")


async def test_numbers_are_bound_as_they_are(port: Port) -> None:
    await _bind(port, "127.0.0.1:0")
    assert port.bound == ["127.0.0.1"]
