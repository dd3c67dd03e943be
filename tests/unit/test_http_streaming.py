"""A stream by HTTP whose reader takes nothing."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from orderintake_server.calls.limits import write_limit
from orderintake_server.errors import SubscriberTooSlow
from orderintake_server.http.connections import Connection
from orderintake_server.http.streaming import Streaming


class Kept(Connection):
    """A connection without a socket."""

    def __init__(self) -> None:
        self.is_aborted = False

    def abort(self) -> None:
        """Note that it was called."""
        self.is_aborted = True


class Unread(web.StreamResponse):
    """An answer that has begun, and of which nothing is read."""

    prepared = True

    async def write(self, _: Any) -> None:  # noqa: ANN401 - as aiohttp has it
        """Wait for ever."""
        await asyncio.Event().wait()


def streaming(connection: Connection) -> Streaming:
    request: Any = SimpleNamespace(protocol=connection)
    out = Streaming(request, "text/event-stream", write_limit(0.05))
    out.answer = Unread()
    return out


async def test_a_stream_whose_last_words_are_not_taken_is_cut_off() -> None:
    connection = Kept()
    await streaming(connection).end(b"event: end\n\n")
    assert connection.is_aborted


async def test_a_stream_that_was_not_taken_is_cut_off_without_a_word() -> None:
    connection = Kept()
    out = streaming(connection)
    with pytest.raises(SubscriberTooSlow):
        await out.write(b"data: 1\n\n")
    assert not connection.is_aborted
    await out.end(b"event: end\n\n")
    assert connection.is_aborted
