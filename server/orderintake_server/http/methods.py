"""The methods of the table as routes: `/{service}/{method}`, the paths that gRPC uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.calls.limits import write_limit
from orderintake_server.http.around import Around
from orderintake_server.http.bodies import Bodies
from orderintake_server.http.connect.codecs import Json, Proto
from orderintake_server.http.connect.streams import Streams
from orderintake_server.http.connect.unary import Unary
from orderintake_server.http.events.streams import EventStreams
from orderintake_server.http.events.texts import EventTexts
from orderintake_server.http.json import OneThread

if TYPE_CHECKING:
    from aiohttp import web

    from orderintake_server.api.methods import Method
    from orderintake_server.calls.frame import Frame
    from orderintake_server.http.connect.codecs import Codec
    from orderintake_server.http.origins import Origins


class Methods:
    """Adds the routes of all methods."""

    def __init__(self, frame: Frame, origins: Origins, *, subscriber_seconds: float) -> None:
        """Serve the methods of `frame` to the pages that `origins` lets call, and to programs.

        The reader of a stream has `subscriber_seconds` to take a message.
        """
        self._frame = frame
        self._origins = origins
        self._reading, self._writing = OneThread(), OneThread()  # no request holds up an answer
        self._bodies = Bodies(self._reading)
        self._writes = write_limit(subscriber_seconds)
        self._texts = EventTexts()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve each method: calls by POST, and by GET where they only read or stream."""
        for method in self._frame.methods:
            router.add_route("OPTIONS", method.path, self._origins.preflight)
            add = self._add_stream if method.gives_stream else self._add_unary
            add(router, Around(self._frame, method))

    def _add_unary(self, router: web.UrlDispatcher, around: Around) -> None:
        method, checked = around.method, self._origins.checked
        unary = Unary(around, self._codecs(method), self._bodies, self._writing)
        router.add_post(method.path, checked(unary.post))
        if method.is_safe:
            router.add_get(method.path, checked(unary.get), allow_head=False)

    def _add_stream(self, router: web.UrlDispatcher, around: Around) -> None:
        method, checked = around.method, self._origins.checked
        streams = Streams(around, self._codecs(method), self._bodies, self._writes)
        router.add_post(method.path, checked(streams.post))
        if not method.takes_stream:
            events = EventStreams(around, self._texts, self._writing, self._writes)
            router.add_get(method.path, checked(events.get), allow_head=False)

    def _codecs(self, method: Method) -> dict[str, Codec]:
        found: tuple[Codec, ...] = (
            Json(method, self._reading, self._writing),
            Proto(method),
        )
        return {codec.name: codec for codec in found}
