"""Connections to a port are ended from below, and no other is taken; other ports are left alone."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orderintake_server.rpc.port import hangup


class Port:
    """A port that is listened at, and both ends of each connection to it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._listens = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.number = self._listens.getsockname()[1]

    def connect(self) -> socket.socket:
        """Connect to it; give the client's end."""
        address = self._listens.getsockname()
        client = self._stack.enter_context(socket.create_connection(address, timeout=20))
        self._stack.enter_context(self._listens.accept()[0])
        return client


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def _is_ended(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_every_connection_to_the_port_ends_and_no_other(stack: ExitStack) -> None:
    port, other = Port(stack), Port(stack)
    to_port = [port.connect() for _ in range(3)]
    to_other = other.connect()
    hangup.hang_up([port.number])
    assert [client.recv(1) for client in to_port] == [b""] * 3
    assert not _is_ended(to_other)
    with pytest.raises(ConnectionRefusedError):
        port.connect()
    other.connect()


def test_what_was_sent_before_still_arrives(stack: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listens:
        client = stack.enter_context(socket.create_connection(listens.getsockname(), timeout=20))
        ours = stack.enter_context(listens.accept()[0])
        ours.sendall(b"refused")
        hangup.hang_up([listens.getsockname()[1]])
        assert client.recv(100) == b"refused"
        assert client.recv(100) == b""


def test_a_system_that_lists_no_files_is_left_alone(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hangup, "_FILES", tmp_path / "missing")
    port = Port(stack)
    client = port.connect()
    hangup.hang_up([port.number])
    assert not _is_ended(client)
