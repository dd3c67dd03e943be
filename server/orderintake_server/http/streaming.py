"""An answer without an end that is known: its reader may be slow, and costs little meanwhile."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

from orderintake_server.errors import SubscriberTooSlow
from orderintake_server.http.codes import Left
from orderintake_server.http.connections import connection_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orderintake_server.calls.waits import WaitLimit


class Streaming:
    """The stream of one call. It begins with the first write."""

    def __init__(
        self,
        request: web.Request,
        content_type: str,
        limit: WaitLimit,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer a request; its reader may take as long as `limit` says for what is written."""
        self._request = request
        self._limit = limit
        self._is_stuck = False
        self.answer = web.StreamResponse(headers=headers)
        self.answer.content_type = content_type

    @property
    def has_begun(self) -> bool:
        """Whether the status is sent: errors can be told in the stream only."""
        return self.answer.prepared

    async def write(self, data: bytes) -> None:
        """Write and wait until there is room for more.

        Raises Left when the reader is gone, SubscriberTooSlow when it reads nothing.
        """
        try:
            await self._limit.wait(self._write(data))
        except SubscriberTooSlow:
            self._is_stuck = True
            raise
        except ConnectionError:
            raise Left from None

    async def end(self, data: bytes) -> web.StreamResponse:
        """Write the last of it, unless nobody reads: then the connection is closed at once."""
        if not self._is_stuck:
            with suppress(SubscriberTooSlow):
                await self.write(data)
        if self._is_stuck:
            connection_of(self._request).abort()
        return self.answer

    async def _write(self, data: bytes) -> None:
        if not self.answer.prepared:
            connection_of(self._request).streams(self._limit.seconds)
            await self.answer.prepare(self._request)
        await self.answer.write(data)
