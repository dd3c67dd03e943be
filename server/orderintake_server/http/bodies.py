"""The body of a request: read in bounded time, and never larger than it may be."""

from __future__ import annotations

import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aiohttp import ClientPayloadError, web

from orderintake_server.api.decoding import unreadable
from orderintake_server.calls.limits import request_limit
from orderintake_server.http.codes import (
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    Left,
    NotServed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orderintake_server.http.json import OneThread

    Take = Callable[[int], None]
    """Counts bytes that a request holds. Raises NotServed when there is no room for them."""

BODY_BYTES = 4 * 1024 * 1024
"""The largest body, before and after it is decompressed: gRPC's own limit for a message."""
BODY_SECONDS = 30.0
"""How long a request may be on its way, as by gRPC; the contract says so."""
ALL_BYTES, SMALL_BYTES = 256 * 1024 * 1024, 64 * 1024
"""What requests may hold together until they are read. One that holds little always may: others
with large ones cannot keep it out."""
GZIP, IDENTITY = "gzip", "identity"
_GZIP_WINDOW = 31
"""zlib's word for gzip, with the largest window."""


class Bodies:
    """Reads bodies."""

    def __init__(self, thread: OneThread) -> None:
        """Decompress large ones in `thread`."""
        self._thread = thread
        self._limit = request_limit(BODY_SECONDS)
        self._held = 0

    @contextmanager
    def room(self) -> Iterator[Take]:
        """Give what counts the bytes that a request holds while inside."""
        own = 0

        def take(size: int) -> None:
            nonlocal own
            own += size
            self._held += size
            if own > SMALL_BYTES and self._held > ALL_BYTES:
                raise NotServed(UNAVAILABLE, "there are too many large requests: come again later")

        try:
            yield take
        finally:
            self._held -= own

    async def read(self, request: web.Request, take: Take) -> bytes:
        """Return the whole body as it came.

        Raises RequestTooSlow, NotServed when it is too large, or there is no room for it, Left when
        its sender is gone.
        """
        if (request.content_length or 0) > BODY_BYTES:
            raise _too_large()
        try:
            body: bytes = await self._limit.wait(_all(request, take))
        except ConnectionError:
            raise Left from None
        except (web.RequestPayloadError, ClientPayloadError):
            raise unreadable("the request's body is damaged") from None
        return body

    async def opened(self, body: bytes, encoding: str, take: Take) -> bytes:
        """Return a body, or a message of one, that was sent in this encoding, decompressed.

        Raises NotServed for an encoding that is not known, too much content or no room,
        InvalidOrder for what is no gzip.
        """
        if encoding in {"", IDENTITY} or not body:
            return body
        check_encoding(encoding)
        opened: bytes = await self._thread.run(_size(body), _inflated, body)
        take(len(opened))
        return opened


def check_encoding(encoding: str) -> None:
    """Raise NotServed unless content may come in this encoding."""
    if encoding not in {"", IDENTITY, GZIP}:
        raise NotServed(UNIMPLEMENTED, f"content may come as {IDENTITY} or {GZIP}")


async def _all(request: web.Request, take: Take) -> bytes:
    parts, size = [], 0
    while part := await request.content.readany():
        size += len(part)
        if size > BODY_BYTES:
            raise _too_large()
        take(len(part))
        parts.append(part)
    return b"".join(parts)


def _size(body: bytes) -> int:
    """Return how large a body is, compressed or not; of megabytes only that it is large."""
    with suppress(zlib.error):
        return max(len(body), len(zlib.decompressobj(_GZIP_WINDOW).decompress(body, SMALL_BYTES)))
    return len(body)


def _inflated(body: bytes) -> bytes:
    stream = zlib.decompressobj(_GZIP_WINDOW)
    try:
        found = stream.decompress(body, BODY_BYTES + 1)
    except zlib.error:
        raise unreadable("the request is not in gzip's format") from None
    if len(found) > BODY_BYTES:
        raise _too_large()
    if not stream.eof or stream.unused_data:
        raise unreadable("the request's gzip is cut, or something follows it")
    return found


def deflated(body: bytes) -> bytes:
    """Return a body compressed by gzip."""
    stream = zlib.compressobj(level=1, wbits=_GZIP_WINDOW)
    return stream.compress(body) + stream.flush()


def _too_large() -> NotServed:
    return NotServed(RESOURCE_EXHAUSTED, f"a request may have {BODY_BYTES} bytes at the most")
