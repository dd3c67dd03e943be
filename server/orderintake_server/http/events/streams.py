"""A method's stream, told to whoever reads it as server-sent events."""

from __future__ import annotations

import json
import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from orderintake_server.http.connect.errors import error_answer, error_object
from orderintake_server.http.events import texts
from orderintake_server.http.events.query import read_query
from orderintake_server.http.streaming import Streaming
from orderintake_server.views import Transport

if TYPE_CHECKING:
    from aiohttp import web

    from orderintake_server.api.access import Call
    from orderintake_server.calls.waits import WaitLimit
    from orderintake_server.http.around import Around
    from orderintake_server.http.codes import Told
    from orderintake_server.http.json import OneThread

RETRY_LEAST, RETRY_MOST = 1_000, 3_000
"""Milliseconds until a browser comes back: each is told another number, or all whose server has
restarted would come in the same moment."""
HEADERS = {"X-Accel-Buffering": "no"}  # nginx would hold events back until it has many


class EventStreams:
    """Answers the GETs of one method that streams completions."""

    def __init__(
        self, around: Around, written: texts.EventTexts, thread: OneThread, writes: WaitLimit
    ) -> None:
        """Tell all readers what is `written` once; long texts are made in `thread`.

        Readers take each message as `writes` says.
        """
        self._around = around
        self._endpoint: Any = around.method.endpoint
        self._texts = written
        self._thread = thread
        self._writes = writes

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Tell completions until the reader leaves, or the service stops."""
        out = Streaming(request, "text/event-stream", self._writes, HEADERS)
        out.answer.charset = "utf-8"

        async def answer(call: Call) -> web.StreamResponse:
            call.transport = Transport.EVENTS
            asked = read_query(request.query, request.headers.get("Last-Event-ID"))
            async with aclosing(self._endpoint(asked, call)) as stream:
                await out.write(_first() + await self._text(await anext(stream)))
                async for told in stream:
                    self._around.check(call)
                    await out.write(await self._text(told))
            return out.answer

        async def refuse(told: Told) -> web.StreamResponse:
            """Tell an error: as the answer, or as the last event of one that has begun."""
            if not out.has_begun:
                return error_answer(told)
            return await out.end(texts.last(json.dumps(error_object(told)).encode()))

        return await self._around.serve(request, answer, refuse)

    async def _text(self, told: bytes) -> bytes:
        text: bytes = await self._thread.run(len(told), self._texts.of, told)
        return text


def _first() -> bytes:
    return texts.first(RETRY_LEAST + secrets.randbelow(RETRY_MOST - RETRY_LEAST + 1))
