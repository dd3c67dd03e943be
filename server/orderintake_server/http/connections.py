"""One connection of the HTTP listener: what its peer may cost, and what it is told of errors."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from orderintake_server.http.bodies import BODY_BYTES
from orderintake_server.http.codes import Left
from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "orderintake"
"""What answers call the server: which software and version it is, is nobody's business."""
REQUEST_SECONDS = 10.0
"""A connection that has not sent its first request by then is closed."""
KEEP_SECONDS = 75.0
"""How long a connection may say nothing after an answer: longer than between two scrapes."""
SILENT_SECONDS = 30.0
"""How long a peer may leave unread what it was sent."""
REQUEST_BYTES = BODY_BYTES + 64 * 1024
"""What a peer may send until it is answered: the largest body, and the longest headers."""
LINGER_SECONDS = 10.0
"""How long an answer waits for a peer that still sends its request; it would not see it else."""
STREAM_BYTES = 64 * 1024
"""What the system keeps of a stream whose reader is slow; by itself it would keep megabytes."""

_AT_ONCE = struct.pack("ii", 1, 0)
"""For SO_LINGER: on, for no time."""

log = get_logger()


class Connection(web.RequestHandler):
    """A connection whose peer may send so much, and for so long, as a request needs."""

    __slots__ = ("_accepted", "_first_timer", "_leaver", "_unanswered")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait a bounded time for the first request."""
        super().connection_made(transport)
        self._accepted = cast("asyncio.Transport", transport)
        self._unanswered = 0
        self._leaver: asyncio.Task[Any] | None = None
        """What is cancelled when the peer leaves."""
        _bound_silence(self._accepted)
        self._first_timer = self._loop.call_later(REQUEST_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        """Read what came, unless it is more than a request and those that follow it may be."""
        self._unanswered += len(data)
        if self._unanswered > REQUEST_BYTES:
            self.abort()
        else:
            super().data_received(data)

    def heard(self) -> None:
        """Note that a request has come, whole."""
        self._first_timer.cancel()
        self._unanswered = 0
        self._leaver = None

    @contextmanager
    def while_there(self) -> Iterator[None]:
        """Cancel the running task when the peer leaves while inside: nothing was begun for it yet.

        Requests that wait to be read would be kept else, also of those who left, in any number; and
        calls that wait would be given what nobody gets.
        Raises Left when it is gone already.
        """
        if self.transport is None:
            raise Left
        self._leaver = asyncio.current_task()
        try:
            yield
        finally:
            self._leaver = None

    def streams(self, seconds: float) -> None:
        """Note that the running task answers by a stream: it is cancelled when its reader leaves.

        The reader may take nothing for so many seconds, and the system keeps little for it. It
        gives up later than the stream does, which has a word for it.
        """
        self._leaver = asyncio.current_task()
        accepted = self._accepted.get_extra_info("socket")
        with suppress(OSError, ValueError):  # it is closed: asyncio's error, and uvloop's
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BYTES)
            _bound_silence(self._accepted, seconds + SILENT_SECONDS)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait for nothing more."""
        self._first_timer.cancel()
        if self._leaver is not None:
            self._leaver.cancel()
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close the connection now, whatever of an answer its peer has not read.

        The system too keeps nothing of it: otherwise it would wait until the peer reads.
        """
        accepted = self._accepted.get_extra_info("socket")
        with suppress(OSError, ValueError):  # it is closed: asyncio's error, and uvloop's
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._accepted.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's, with what its parser thinks
    ) -> web.StreamResponse:
        """Tell an error by its status only; what is a bug goes into the log."""
        if status >= web.HTTPInternalServerError.status_code:
            log.error("HTTP request failed: internal error", path=request.path, exc_info=exc)
        answer = web.Response(status=status, headers={"Server": NAME})
        answer.force_close()
        return answer


def connection_of(request: web.BaseRequest) -> Connection:
    """Return the connection on which a request came."""
    connection = request.protocol
    assert isinstance(connection, Connection)  # noqa: S101 - the listener makes no other
    return connection


def _bound_silence(transport: asyncio.BaseTransport, seconds: float = SILENT_SECONDS) -> None:
    """Let the system close a connection whose peer takes nothing, also while it is being closed."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # of Linux
    if option is not None:
        accepted = transport.get_extra_info("socket")
        accepted.setsockopt(socket.IPPROTO_TCP, option, round(seconds * 1_000))


class Refused(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        cast("asyncio.Transport", transport).abort()


def connecting(server: web.Server, most: int) -> Callable[[], asyncio.Protocol]:
    """Return what makes the protocol of each connection that comes in, so many at once."""
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {
        "access_log": None,
        "keepalive_timeout": KEEP_SECONDS,
        "lingering_time": LINGER_SECONDS,
        "auto_decompress": False,
    }

    def connect() -> asyncio.Protocol:
        if len(server.connections) >= most:
            return Refused()
        return Connection(server, loop=loop, **options)

    return connect
