"""A unary call by the Connect protocol: one request, one answer, as plain HTTP."""

from __future__ import annotations

import base64
import binascii
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from aiohttp import web

from orderintake_server.api.decoding import unreadable
from orderintake_server.api.violations import invalid
from orderintake_server.http.bodies import GZIP, deflated
from orderintake_server.http.connect.deadline import deadline, seconds_left
from orderintake_server.http.connect.errors import error_answer
from orderintake_server.http.connect.headers import (
    check_version,
    media_type,
    seconds_of,
    takes_gzip,
)
from orderintake_server.http.connections import connection_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from orderintake_server.api.access import Call
    from orderintake_server.http.around import Around
    from orderintake_server.http.bodies import Bodies, Take
    from orderintake_server.http.codes import Told
    from orderintake_server.http.connect.codecs import Codec
    from orderintake_server.http.json import OneThread

    Read = Callable[[Take], Awaitable[Any]]
    """Reads a request's message, and counts what it holds."""

GZIP_BYTES = 1024
"""A smaller answer is sent as it is: it would hardly shrink."""
KEY, KEY_FIELD = "Idempotency-Key", "request_id"
"""The header is this field, in requests that have it."""


class Unary:
    """Serves one method."""

    def __init__(
        self, around: Around, codecs: Mapping[str, Codec], bodies: Bodies, thread: OneThread
    ) -> None:
        """Serve in these forms, by their names; compress large answers in `thread`."""
        self._around = around
        self._endpoint: Any = around.method.endpoint
        self._codecs = codecs
        self._by_type = {f"application/{name}": codec for name, codec in codecs.items()}
        self._bodies = bodies
        self._thread = thread
        self._waits = around.method.meter.waits
        self._has_key = KEY_FIELD in around.method.request.DESCRIPTOR.fields_by_name

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Answer a call whose request is the body."""
        codec = self._by_type.get(media_type(request.headers))
        if codec is None:
            return unsupported(self._by_type)

        async def read(take: Take) -> Any:  # noqa: ANN401 - the method's message
            check_version(request.headers.get("Connect-Protocol-Version"))
            body = await self._bodies.read(request, take)
            encoding = request.headers.get("Content-Encoding", "")
            return await codec.read(await self._bodies.opened(body, encoding, take))

        return await self._answered(request, codec, read)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer a call whose request is in the query; only of methods without effects."""
        query = parse_qs(request.rel_url.raw_query_string, True, encoding="latin-1")  # noqa: FBT003
        said = {name: values[-1] for name, values in query.items()}
        codec = self._codecs.get(said.get("encoding", ""))
        if codec is None:
            return unsupported(self._by_type)

        async def read(take: Take) -> Any:  # noqa: ANN401 - the method's message
            version = said.get("connect", "v1")
            check_version(version.removeprefix("v") if version.startswith("v") else "")
            opened = await self._bodies.opened(_message(said), said.get("compression", ""), take)
            return await codec.read(opened)

        return await self._answered(request, codec, read)

    async def _answered(self, request: web.Request, codec: Codec, read: Read) -> web.StreamResponse:
        async def answer(call: Call) -> web.StreamResponse:
            seconds = seconds_of(request.headers)
            call.seconds_left = seconds_left(seconds)
            async with deadline(seconds):
                connection = connection_of(request)
                with connection.while_there(), self._bodies.room() as take:
                    message = await read(take)
                self._set_key(request, message)
                with connection.while_there() if self._waits else nullcontext():
                    answered = await self._endpoint(message, call)
                written = await codec.write(answered)
            return await self._packed(request, codec, written)

        return await self._around.serve(request, answer, _refuse)

    def _set_key(self, request: web.Request, message: Any) -> None:  # noqa: ANN401
        """Let the header be the request_id. Raises InvalidOrder where the two differ."""
        said = request.headers.getall(KEY, [""])
        key = said[0].strip().removeprefix('"').removesuffix('"')
        if len(said) > 1:
            raise invalid("", f"there is more than one {KEY}")
        if not key:
            return
        if not self._has_key:
            raise invalid("", f"this method takes no {KEY}")
        if message.request_id not in {"", key} or not key.isascii():
            raise invalid(KEY_FIELD, f"is another than {KEY}, or that is not ASCII")
        message.request_id = key

    async def _packed(
        self, request: web.Request, codec: Codec, written: bytes
    ) -> web.StreamResponse:
        answer = web.Response(body=written, content_type=f"application/{codec.name}")
        if len(written) >= GZIP_BYTES:
            answer.headers["Vary"] = "Accept-Encoding"
            if takes_gzip(request.headers.get("Accept-Encoding", "")):
                answer.body = await self._thread.run(len(written), deflated, written)
                answer.headers["Content-Encoding"] = GZIP
        return answer


async def _refuse(told: Told) -> web.StreamResponse:
    return error_answer(told)


def unsupported(types: Mapping[str, object]) -> web.Response:
    """Return the answer to a request in another form than these."""
    return web.Response(status=415, headers={"Accept-Post": ", ".join(types)})


def _message(said: Mapping[str, str]) -> bytes:
    """Return the message in a query. Raises InvalidOrder."""
    if "message" not in said:
        raise unreadable("the query has no message")
    message = said["message"].encode("latin-1")
    if said.get("base64", "0") != "1":
        return message
    unpadded = message.rstrip(b"=")
    try:
        return base64.b64decode(unpadded + b"=" * (-len(unpadded) % 4), b"-_", validate=True)
    except binascii.Error:
        raise unreadable("the query's message is not in base64, as URLs have it") from None
