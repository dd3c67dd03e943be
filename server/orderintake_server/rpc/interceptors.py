"""The outermost layer of every call: whatever a handler raises becomes a status of the contract."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from orderintake_server.errors import Refusal, StorageUnavailable, StoreAway, StoreBroken, StoreFull
from orderintake_server.rpc.status import internal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orderintake_server.rpc.hold import ShutdownGate
    from orderintake_server.rpc.status import Metadata, Statuses

    _Context = grpc.aio.ServicerContext[Any, Any]
    _Handler = grpc.RpcMethodHandler[Any, Any]
    _Method = Callable[[Any, _Context], Awaitable[Any]]

log = structlog.get_logger()

ABORT_SECONDS = 5.0
"""How long a call is held for its client to take the status."""


class Guard(grpc.aio.ServerInterceptor):
    """Turns refusals into their statuses, and bugs into INTERNAL with an incident id.

    A client's own cancellation passes through untouched: swallowing it leaks memory.
    """

    def __init__(self, statuses: Statuses, hold: ShutdownGate) -> None:
        """Build statuses with `statuses`; keep the last calls in `hold`."""
        self._statuses = statuses
        self._hold = hold
        self._guarded: dict[str, _Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Give the method's handler with the guard around it, made once per method."""
        method = handler_call_details.method
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = await continuation(handler_call_details)
            if handler is None or handler.request_streaming:
                return handler  # unknown, or reflection's own
            guarded = self._guarded[method] = self._around(method, handler)
        return guarded

    def _around(self, method: str, handler: _Handler) -> _Handler:
        if handler.response_streaming:
            made = grpc.unary_stream_rpc_method_handler
            inner = handler.unary_stream
        else:
            made = grpc.unary_unary_rpc_method_handler
            inner = handler.unary_unary
        if not asyncio.iscoroutinefunction(inner):
            return handler
        return made(
            self._guard(method, inner),
            request_deserializer=handler.request_deserializer,
            response_serializer=_serializer(handler),
        )

    def _guard(self, method: str, inner: _Method) -> _Method:
        async def guarded(request: Any, context: _Context) -> Any:  # noqa: ANN401
            try:
                if self._hold.is_on:
                    await self._hold.wait()
                return await inner(request, context)
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, grpc.aio.AbortError) or _is_clients_own(error):
                    raise
                await _abort(context, self._status(method, error, context.time_remaining()))

        return guarded

    def _status(
        self, method: str, error: BaseException, seconds_left: float | None
    ) -> tuple[grpc.StatusCode, str, Metadata]:
        if isinstance(error, Refusal):
            return self._statuses.of(error, seconds_left=seconds_left)
        if isinstance(error, (StoreFull, StoreAway, StoreBroken)):
            log.error("the store cannot be read", method=method, error=str(error))
            return self._statuses.of(StorageUnavailable("the store cannot be read"))
        incident_id = secrets.token_hex(8)
        log.error("a call failed by a bug", method=method, incident_id=incident_id, exc_info=error)
        return internal(incident_id)


def _serializer(handler: _Handler) -> Callable[[Any], bytes] | None:
    """Let a stream's handler write messages that it has encoded itself."""
    serialize: Callable[[Any], bytes] | None = handler.response_serializer
    if not handler.response_streaming or serialize is None:
        return serialize
    return lambda message: message if isinstance(message, bytes) else serialize(message)


async def _abort(context: _Context, status: tuple[grpc.StatusCode, str, Metadata]) -> None:
    """End a call with a status; one whose client reads nothing gets it when it reads on."""
    try:
        async with asyncio.timeout(ABORT_SECONDS):
            await context.abort(*status)
    except TimeoutError:
        raise grpc.aio.AbortError from None


def _is_clients_own(error: BaseException) -> bool:
    """Tell a client that left from a cancellation that escaped some part of ours."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())
