"""gRPC's server, asked for several calls at a time: a burst of them begins in one turn of the loop.

grpcio asks its core for one call, awaits it, begins it, and only then asks for the next: five turns
of the event loop and two hand-overs between threads for every call, one call after the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined] # grpcio's own

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

AHEAD = 32
"""How many calls are asked for before they are there, and so begin in one turn at the most: for
less than a millisecond. With 16 a call costs a twentieth more, with 64 as much. Measured with the
part core of bench/."""
CORE: Any = cygrpc.AioServer
"""The core that a server of `grpc.aio` wraps."""


def server(options: tuple[tuple[str, int], ...]) -> grpc.aio.Server:
    """Make a server that asks ahead; where grpcio does not ask as it did, one that does not."""
    if not hasattr(CORE, "_request_call"):
        return grpc.aio.server(options=options)
    cygrpc.AioServer = _AskingServer  # by this name it makes its core
    try:
        return grpc.aio.server(options=options)
    finally:
        cygrpc.AioServer = CORE


class Asked:
    """The calls that were asked for; they are taken in the order in which they come."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Ask for a call by `ask`, which gives it, or raises that there will be none."""
        self._ask = ask
        self.coming: set[asyncio.Task[Any]] = set()
        self.came: deque[asyncio.Task[Any]] = deque()
        """Those that are there, and that nobody has taken yet."""
        self._next: _Next | None = None
        """Who waits for the next call."""
        self._is_closed = False

    def next(self) -> asyncio.Future[Any]:
        """Take the next call, or what was raised in its place; one at a time."""
        loop = asyncio.get_running_loop()
        while len(self.coming) + len(self.came) < AHEAD:
            asked = loop.create_task(self._ask())
            self.coming.add(asked)
            asked.add_done_callback(self._take)
        taken = self._next = _Next(loop=loop)
        self.give()
        return taken

    def close(self) -> None:
        """Let go of calls that nobody will take: gRPC stops when nobody holds a call any more."""
        self._is_closed = True
        self.came.clear()

    def give(self) -> None:
        """Give the first of those that came to who waits for one."""
        if self._next is not None and self.came:
            taken, self._next = self._next, None
            taken.follow(self.came.popleft())

    def _take(self, call: asyncio.Task[Any]) -> None:
        self.coming.discard(call)
        if self._next is not None or not self._is_closed:
            self.came.append(call)
            self.give()
        elif not call.cancelled():
            call.exception()  # nobody wants to know it


class _Next(asyncio.Future[Any]):
    """The next call. Who waits for one that is there is told at once, not a turn later."""

    def add_done_callback(self, fn: Callable[[Any], object], **context: Any) -> None:  # noqa: ANN401
        """Call it when the call is there."""
        if self.done():
            fn(self)
        else:
            super().add_done_callback(fn, **context)

    def follow(self, call: asyncio.Task[Any]) -> None:
        """End as the task has ended."""
        if self.done():
            return
        if call.cancelled():
            self.cancel()
        elif error := call.exception():
            self.set_exception(error)
        else:
            self.set_result(call.result())


class _AskingServer(CORE):  # type: ignore[misc] # it has no types
    """Gives grpcio's own loop the calls as it asks for them."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.asked = Asked(super()._request_call)

    def _request_call(self) -> asyncio.Future[Any]:
        """Take the next call: until grpcio 1.83."""
        return self.asked.next()

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Future[Any]:
        """Take the next call, unless it is one of a registered method: since grpcio 1.84."""
        if method is None:
            return self.asked.next()
        future: asyncio.Future[Any] = super()._make_request_call_future(method)
        return future

    async def shutdown(self, grace: float | None) -> None:
        self.asked.close()
        await super().shutdown(grace)
