"""Makes the gRPC handler of every method, with what all methods need around it."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from orderintake_server.api.access import ANYBODY
from orderintake_server.errors import SubscriberTooSlow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from orderintake_server.api.methods import Method
    from orderintake_server.api.refusals import ErrorReply, Refusals
    from orderintake_server.rpc.gate import ShutdownGate

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
    Behaviour = Callable[[Any, Context], Awaitable[Any]]
    """Answers a call: it returns the message; or it writes those of a stream and returns None."""

Metadata = tuple[tuple[str, str | bytes], ...]

ABORT_SECONDS = 5.0
"""How long a call waits for its client to read the status."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}
"""gRPC's names of the shapes, by whether the client streams and whether the server does."""


class Handlers(grpc.GenericRpcHandler):
    """The gRPC handlers of all methods, by their paths.

    gRPC's registered handlers are not used: with them every call waits for a future of its method,
    which takes about 7 us a call.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        """Serve these methods and no others."""
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler of a method; None: there is no such method."""
        return self._handlers.get(handler_call_details.method)


class Binder:
    """Wraps each method, whatever its shape, with the caller, the shutdown gate and error mapping.

    Refusals become their statuses, and bugs become INTERNAL with an incident id. A client's own
    cancellation is passed on unchanged: to swallow it leaks memory (grpc#43360).
    """

    def __init__(self, refusals: Refusals, gate: ShutdownGate, *, write_seconds: float) -> None:
        """Map errors with `refusals`; wait `write_seconds` for a client to read a message."""
        self._refusals = refusals
        self._gate = gate
        self._write_seconds = write_seconds

    def handlers(
        self, methods: Iterable[Method], services: Mapping[str, Mapping[str, Handler]]
    ) -> Handlers:
        """Bind the table's methods, and gRPC's own services, by service and by method name."""
        bound = {method.path: self.method(method) for method in methods}
        for service, handlers in services.items():
            for name, handler in handlers.items():
                path = f"/{service}/{name}"
                bound[path] = self.handler(path, handler)
        return Handlers(bound)

    def method(self, method: Method) -> Handler:
        """Bind a row of the table."""
        endpoint: Any = method.endpoint

        def answer(request: Any, _: Context) -> Any:  # noqa: ANN401
            return endpoint(request, ANYBODY)

        behaviour = self._streaming(answer) if method.gives_stream else answer
        return _handler(
            self._guarded(method.path, behaviour),
            shape=(method.takes_stream, method.gives_stream),
            deserializer=method.request.FromString,
            serializer=_encoded if method.gives_stream else method.response.SerializeToString,
        )

    def handler(self, path: str, handler: Handler) -> Handler:
        """Bind a handler that was made elsewhere, of any shape.

        Raises TypeError for one that gRPC would run in a thread, where nothing can be wrapped
        around it.
        """
        shape = (handler.request_streaming, handler.response_streaming)
        behaviour = getattr(handler, _KINDS[shape])
        if inspect.isasyncgenfunction(behaviour):
            behaviour = self._streaming(behaviour)
        elif not inspect.iscoroutinefunction(behaviour):
            raise TypeError(f"{path} is neither a coroutine function nor an async generator")
        return _handler(
            self._guarded(path, behaviour),
            shape=shape,
            deserializer=handler.request_deserializer,
            serializer=handler.response_serializer,
        )

    def _guarded(self, path: str, behaviour: Behaviour) -> Behaviour:
        async def guarded(request: Any, context: Context) -> Any:  # noqa: ANN401
            try:
                if self._gate.is_closed:
                    await self._gate.wait()
                return await behaviour(request, context)
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, grpc.aio.AbortError) or _is_clients_own(error):
                    raise
                await _abort(context, self._refusals.reply(error, method=path))

        return guarded

    def _streaming(self, messages: Callable[[Any, Context], AsyncIterator[Any]]) -> Behaviour:
        """Write what an async iterator yields; gRPC's own way to do this is slower."""

        async def behaviour(request: Any, context: Context) -> None:  # noqa: ANN401
            stream: Any = messages(request, context)
            async with aclosing(stream):
                async for message in stream:
                    await self._write(context, message)

        return behaviour

    async def _write(self, context: Context, message: Any) -> None:  # noqa: ANN401
        """Write one message of a stream; wait for its reader at most `write_seconds`."""
        try:
            async with asyncio.timeout(self._write_seconds):
                await context.write(message)
        except TimeoutError:
            raise SubscriberTooSlow(
                f"nothing was read from this stream for {self._write_seconds:g} s; "
                "resume from the last cursor"
            ) from None


def _handler(
    behaviour: Behaviour,
    *,
    shape: tuple[bool, bool],
    deserializer: Callable[[bytes], Any] | None,
    serializer: Callable[[Any], bytes] | None,
) -> Handler:
    make: Callable[..., Handler] = getattr(grpc, f"{_KINDS[shape]}_rpc_method_handler")
    return make(behaviour, request_deserializer=deserializer, response_serializer=serializer)


def _encoded(message: Any) -> bytes:  # noqa: ANN401
    """Encode a message of a stream, unless its endpoint has encoded it."""
    return message if isinstance(message, bytes) else message.SerializeToString()


async def _abort(context: Context, reply: ErrorReply) -> None:
    """End a call with a status; a client that does not read now gets it when it reads again."""
    code = _CODES[reply.status.code]
    try:
        async with asyncio.timeout(ABORT_SECONDS):
            await context.abort(
                code, reply.status.message, trailers(reply, context.time_remaining())
            )
    except TimeoutError:
        raise grpc.aio.AbortError from None


def trailers(reply: ErrorReply, seconds_left: float | None) -> Metadata:
    """Return the trailing metadata for a status with its details.

    `seconds_left` is the time until the caller's deadline. When a retry could not begin before it,
    gRPC's own retries are told to stop; otherwise the caller would see DEADLINE_EXCEEDED and not
    the reason.
    """
    details: Metadata = (("grpc-status-details-bin", reply.status.SerializeToString()),)
    if reply.retry_after is None:
        return details
    is_too_late = seconds_left is not None and seconds_left * 1_000 <= reply.retry_after
    return (*details, ("grpc-retry-pushback-ms", str(-1 if is_too_late else reply.retry_after)))


def _is_clients_own(error: BaseException) -> bool:
    """Whether the client left; otherwise a cancellation escaped from some part of the service."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())
