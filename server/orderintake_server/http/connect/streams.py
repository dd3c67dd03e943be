"""A server stream by the Connect protocol: one enveloped request, enveloped answers, and an end."""

from __future__ import annotations

import json
import struct
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from orderintake_server.api.decoding import unreadable
from orderintake_server.http.bodies import IDENTITY, check_encoding
from orderintake_server.http.codes import INTERNAL, UNIMPLEMENTED, NotServed
from orderintake_server.http.connect.deadline import deadline
from orderintake_server.http.connect.errors import error_object
from orderintake_server.http.connect.headers import check_version, media_type, seconds_of
from orderintake_server.http.connect.unary import unsupported
from orderintake_server.http.connections import connection_of
from orderintake_server.http.streaming import Streaming
from orderintake_server.views import Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from orderintake_server.api.access import Call
    from orderintake_server.calls.waits import WaitLimit
    from orderintake_server.http.around import Around
    from orderintake_server.http.bodies import Bodies, Take
    from orderintake_server.http.codes import Told
    from orderintake_server.http.connect.codecs import Codec

_HEAD = struct.Struct(">BI")
_COMPRESSED, _END = 1, 2
"""Flags of an envelope."""


class Streams:
    """Serves one method whose answer is a stream."""

    def __init__(
        self, around: Around, codecs: Mapping[str, Codec], bodies: Bodies, writes: WaitLimit
    ) -> None:
        """Serve in these forms, by their names; readers take each message as `writes` says."""
        self._around = around
        self._endpoint: Any = around.method.endpoint
        self._by_type = {f"application/connect+{name}": codec for name, codec in codecs.items()}
        self._bodies = bodies
        self._writes = writes

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Answer a call whose request is the body."""
        kind = media_type(request.headers)
        codec = self._by_type.get(kind)
        if codec is None:
            return unsupported(self._by_type)
        out = Streaming(request, kind, self._writes)

        async def answer(call: Call) -> web.StreamResponse:
            call.transport = Transport.CONNECT
            async with deadline(seconds_of(request.headers)):
                with connection_of(request).while_there(), self._bodies.room() as take:
                    message = await codec.read(await self._request(request, take))
                async with aclosing(self._endpoint(message, call)) as stream:
                    async for told in stream:
                        self._around.check(call)
                        await out.write(_envelope(0, await codec.write(told)))
            return await out.end(_envelope(_END, b"{}"))

        async def refuse(told: Told) -> web.StreamResponse:
            return await out.end(_ending(told))

        return await self._around.serve(request, answer, refuse)

    async def _request(self, request: web.Request, take: Take) -> bytes:
        """Return the one message of the request."""
        check_version(request.headers.get("Connect-Protocol-Version"))
        encoding = request.headers.get("Connect-Content-Encoding", "")
        check_encoding(encoding)
        if self._around.method.takes_stream:
            raise NotServed(
                UNIMPLEMENTED, "a stream both ways needs HTTP/2: use gRPC, or BatchPlaceOrders"
            )
        flags, message = only(await self._bodies.read(request, take))
        if not flags & _COMPRESSED:
            return message
        if encoding in {"", IDENTITY}:
            raise NotServed(INTERNAL, "the message is compressed, and its encoding is not named")
        return await self._bodies.opened(message, encoding, take)


def only(body: bytes) -> tuple[int, bytes]:
    """Return the flags and the content of the one envelope of a body.

    Raises InvalidOrder when it is cut or has other flags, NotServed when there is not exactly one.
    """
    if not body:
        raise NotServed(UNIMPLEMENTED, "the request has no message")
    if len(body) < _HEAD.size:
        raise unreadable("the request is cut")
    flags, size = _HEAD.unpack_from(body)
    message = body[_HEAD.size : _HEAD.size + size]
    if len(message) < size or flags & ~_COMPRESSED:
        raise unreadable("the request is cut, or no message in an envelope")
    if len(body) > _HEAD.size + size:
        raise NotServed(UNIMPLEMENTED, "the request has more than one message")
    return flags, message


def _envelope(flags: int, message: bytes) -> bytes:
    return _HEAD.pack(flags, len(message)) + message


def _ending(told: Told) -> bytes:
    return _envelope(_END, json.dumps({"error": error_object(told)}).encode())
