"""What is around each call by HTTP: who makes it, what is kept of it, and what errors become."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orderintake_server.access import Credentials
from orderintake_server.calls.telling import told
from orderintake_server.http.codes import CODES, Left, NotServed, Told
from orderintake_server.telemetry import traces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from orderintake_server.api.access import Call
    from orderintake_server.api.methods import Method
    from orderintake_server.calls.frame import Frame
    from orderintake_server.calls.recorder import Record

    Answer = Callable[[Call], Awaitable[web.StreamResponse]]
    """Answers a call that was let in. Raises what its caller is told instead."""
    Refuse = Callable[[Told], Awaitable[web.StreamResponse]]
    """Tells the caller of an error, in the manner of a protocol."""


class Around:
    """Serves the calls of one method: the same way in as by gRPC, and the same records."""

    def __init__(self, frame: Frame, method: Method) -> None:
        """Let in, record and tell errors as `frame` says."""
        self.method = method
        self.check = frame.door.check
        """Raises when the right of an open stream's caller has ended; ask at each message."""
        self._door = frame.door
        self._refusals = frame.refusals
        self._recorder = frame.recorder.of(method.path[1:], method.meter, is_traced=True)

    async def serve(
        self, request: web.Request, answer: Answer, refuse: Refuse
    ) -> web.StreamResponse:
        """Return what `answer` makes of a call, or `refuse` of whatever it raises."""
        record = self._recorder.begin(_trace(request))
        try:
            call = self._door.let_in(_credentials(request), self.method.rule, record)
            return await answer(call)
        except Left as error:
            record.code = "CANCELLED"
            record.failed(asyncio.CancelledError())
            raise error from None
        except (Exception, asyncio.CancelledError, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - all
            return await refuse(self._told(error, record))
        finally:
            record.end()

    def _told(self, error: BaseException, record: Record) -> Told:
        """Return what the caller gets; an end that the server's stop brings goes on."""
        record.failed(error)
        if _is_ended_by_us(error):
            record.code = "CANCELLED"
            raise error
        if isinstance(error, NotServed):
            record.code = error.told.code.name
            return error.told
        reply = told(self._refusals, error, method=self.method.path)
        code = CODES[reply.status.code]
        record.refused(reply, code.name, error)
        return Told(code, reply.status.message, reply.status.details, reply.retry_after)


def _is_ended_by_us(error: BaseException) -> bool:
    """Tell whether the listener ends the call; else a cancellation escaped from some part."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())


def _credentials(request: web.Request) -> Credentials:
    return Credentials(
        request.headers.getall("Authorization", ()), lambda: None, lambda: peer(request)
    )


def _trace(request: web.Request) -> bytes | None:
    found = request.headers.getall(traces.HEADER, ())
    return traces.read(found[-1]) if found else None


def peer(request: web.Request) -> str:
    """Return the caller's address, written as gRPC does."""
    name = request.protocol.peername
    if not isinstance(name, tuple):
        return "unknown:"
    host, port = name[:2]
    return f"ipv6:%5B{host}%5D:{port}" if ":" in str(host) else f"ipv4:{host}:{port}"
