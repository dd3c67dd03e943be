"""The two forms in which the messages of a method come and go: JSON and binary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from orderintake_server.api.decoding import check_single, decoded, may_be_large, reader, unreadable
from orderintake_server.http.json import JSON_BYTES, read_json, write_json

if TYPE_CHECKING:
    from orderintake_server.api.methods import Method
    from orderintake_server.http.json import OneThread


class Codec(Protocol):
    """One of the forms, for one method."""

    name: str

    async def read(self, body: bytes) -> Any:  # noqa: ANN401 - the method's message
        """Return a request's message. Raises InvalidOrder."""

    async def write(self, answered: Any) -> bytes:  # noqa: ANN401 - a message, or its bytes
        """Return what an endpoint answered in this form."""


class Json:
    """JSON."""

    name = "json"

    def __init__(self, method: Method, reading: OneThread, writing: OneThread) -> None:
        """Read and write the messages of a method; large ones in these threads."""
        self._request = method.request
        self._response = method.response
        self._reading, self._writing = reading, writing
        self._is_single = not may_be_large(method.request)
        self._last: tuple[bytes, bytes] = b"", b"{}"

    async def read(self, body: bytes) -> Any:  # noqa: ANN401 - the method's message
        """Return a request's message. Raises InvalidOrder."""
        if self._is_single and len(body) > JSON_BYTES:
            raise unreadable(f"the request has {len(body)} bytes; at most {JSON_BYTES} are allowed")
        message = await self._reading.run(len(body), read_json, self._request, body)
        if self._is_single:
            check_single(message.ByteSize())
        return message

    async def write(self, answered: Any) -> bytes:  # noqa: ANN401 - a message, or its bytes
        """Return what an endpoint answered; the same bytes, told to many, are written once."""
        if not isinstance(answered, bytes):
            return await self._write(answered)
        last, written = self._last
        if answered is not last:
            written = await self._write(self._response.FromString(answered))
            self._last = answered, written
        return written

    async def _write(self, message: Any) -> bytes:  # noqa: ANN401 - a message
        written: bytes = await self._writing.run(message.ByteSize(), write_json, message)
        return written


class Proto:
    """protobuf's binary form."""

    name = "proto"

    def __init__(self, method: Method) -> None:
        """Read and write the messages of a method."""
        self._decode = reader(method.request)

    async def read(self, body: bytes) -> Any:  # noqa: ANN401 - the method's message
        """Return a request's message. Raises InvalidOrder."""
        return decoded(body, self._decode)

    async def write(self, answered: Any) -> bytes:  # noqa: ANN401 - a message, or its bytes
        """Return what an endpoint answered, encoded."""
        return answered if isinstance(answered, bytes) else answered.SerializeToString()
