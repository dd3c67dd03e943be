"""The messages of PostgreSQL, whose lengths are checked before the driver goes by them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from asyncpg import protocol

HEAD = struct.Struct("!xi")
"""A message begins with its type, and its length, which counts itself but not the type."""
if TYPE_CHECKING:
    _Protocol = protocol.Protocol[Any]
else:
    _Protocol = protocol.Protocol

LEAST_LENGTH = 4
MOST_LENGTH = 1 << 30
"""PostgreSQL's own bound."""


class Frames:
    """Where messages begin in the bytes that come."""

    def __init__(self) -> None:
        """Begin with a message."""
        self._head = b""
        self._skip = 0

    def check(self, data: bytes | memoryview) -> None:
        """Take note of the next bytes. Raises asyncpg.ProtocolError for an impossible length."""
        at, size = self._skip, len(data)
        if self._head and not at:
            data = self._head + bytes(data)
            size = len(data)
        self._head = b""
        while at + HEAD.size <= size:
            (length,) = HEAD.unpack_from(data, at)
            if not LEAST_LENGTH <= length <= MOST_LENGTH:
                raise asyncpg.exceptions.ProtocolError(f"a message of {length} bytes")
            at += length + 1
        if at < size:
            self._head = bytes(data[at:])
        self._skip = max(at - size, 0)


class CheckedProtocol(_Protocol):
    """The driver's protocol, which is given no message of an impossible length.

    It would go back in memory by a negative one, which ends the process.
    """

    def __init__(self, *values: Any, **named: Any) -> None:  # noqa: ANN401 - whatever it takes
        """Begin with a connection's first message."""
        super().__init__(*values, **named)
        self._frames = Frames()

    def data_received(self, data: object) -> None:
        """Read what came. Raises asyncpg.ProtocolError, on which the connection is closed."""
        self._frames.check(cast("bytes", data))
        super().data_received(data)


def check_frames() -> None:
    """Let all connections that the driver makes from now on in this process be checked."""
    setattr(protocol, "Protocol", CheckedProtocol)  # noqa: B010 - it is meant to be a constant
