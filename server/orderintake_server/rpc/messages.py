"""The messages of a call: each is read and written within a bounded time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc

from orderintake_server.api.decoding import decoded, unreadable
from orderintake_server.calls.limits import request_limit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from orderintake_server.api.access import Call

    Context = grpc.aio.ServicerContext[Any, Any]
    Decode = Callable[[bytes], Any]

LEFT_SECONDS = 0.05
"""Within so long after its last message a client that left has the call cancelled: it is told
nothing, which would cost as much as an answer."""
DROP_SECONDS = 0.1
"""How long the message of a refused call may be on its way."""
REQUEST_SECONDS = 30.0
"""How long each message of a request may be on its way; the contract says so."""


class Requests:
    """The requests of one method, read from its calls."""

    def __init__(
        self,
        decode: Decode,
        check: Callable[[Call], None],
        *,
        is_stream: bool,
        seconds: float | None,
    ) -> None:
        """Read one message of each call, or where it `is_stream` all.

        Each within `seconds`; None: whenever it comes.
        `check` raises when the right of a call's caller has ended; each message of a stream asks.
        """
        self._decode = decode
        self._check = check
        self.is_stream = is_stream
        self._limit = None if seconds is None else request_limit(seconds)

    @property
    def is_patient(self) -> bool:
        """Whether messages may come whenever they like."""
        return self._limit is None

    async def of(self, context: Context, call: Call | None) -> Any:  # noqa: ANN401
        """Give the request of a call: a message, or an async iterator of them.

        `call` is None where callers need not be known. Raises InvalidOrder when it cannot be read,
        RequestTooSlow when it does not come.
        """
        if self.is_stream:
            return self._all(context, call)
        message = await self._next(context)
        if message is grpc.aio.EOF:
            await asyncio.sleep(LEFT_SECONDS)
            raise unreadable("the request has no message")
        return decoded(message, self._decode)

    async def _all(self, context: Context, call: Call | None) -> AsyncIterator[Any]:
        while (message := await self._next(context)) is not grpc.aio.EOF:
            if call is not None:
                self._check(call)
            yield decoded(message, self._decode)

    def _next(self, context: Context) -> Awaitable[Any]:
        """Wait for the next message: its bytes, or EOF."""
        read = context.read()
        return read if self._limit is None else self._limit.wait(read)


async def drop(context: Context) -> None:
    """Take the first message of a call that is refused, and do not look at it.

    A client of grpcio that writes to a call that has ended is told INTERNAL, "Internal error from
    Core", in place of the refusal (grpc#36066). One that sends nothing is refused soon.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(DROP_SECONDS):
            await context.read()
