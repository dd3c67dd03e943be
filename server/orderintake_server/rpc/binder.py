"""Makes the gRPC handler of every method, with what all methods need around it."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from orderintake_server.api.access import ANYBODY
from orderintake_server.errors import MethodUnknown
from orderintake_server.rpc.messages import REQUEST_SECONDS, Requests, write
from orderintake_server.rpc.starts import Starts
from orderintake_server.rpc.status import refuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from orderintake_server.api.methods import Method
    from orderintake_server.api.refusals import Refusals
    from orderintake_server.rpc.gate import ShutdownGate
    from orderintake_server.rpc.messages import Context, Decode

    Handler = grpc.RpcMethodHandler[Any, Any]
    Encode = Callable[[Any], bytes]
    Behaviour = Callable[[Context], Awaitable[Any]]
    """Answers a call: it reads the request, and returns the encoded message or writes many."""

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

    def __init__(self, handlers: Mapping[str, Handler], unknown: Handler) -> None:
        """Serve these methods; `unknown` answers calls of any other."""
        self._handlers = handlers
        self._unknown = unknown

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """Give the handler of a method."""
        return self._handlers.get(handler_call_details.method, self._unknown)


class Binder:
    """Wraps each method, whatever its shape, with the caller, the shutdown gate and error mapping.

    To gRPC every method takes a stream of bytes, so that a call is ours from its first header on:
    its request is awaited for a bounded time, and read where an error of that is mapped too.
    Refusals become their statuses, and bugs INTERNAL with an incident id. A client's own
    cancellation passes through untouched: swallowing it leaks memory (grpc#43360).
    """

    def __init__(
        self,
        refusals: Refusals,
        gate: ShutdownGate,
        *,
        write_seconds: float,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """Tell errors by `refusals`.

        A client may take `request_seconds` to send each message of its request, and
        `write_seconds` to take each message of a stream.
        """
        self._refusals = refusals
        self._gate = gate
        self._starts = Starts()
        self._write_seconds = write_seconds
        self._request_seconds = request_seconds

    def handlers(
        self, methods: Iterable[Method], services: Mapping[str, Mapping[str, Handler]]
    ) -> Handlers:
        """Bind the table's methods, and gRPC's own services, by service and by method name."""
        bound = {method.path: self.method(method) for method in methods}
        for service, handlers in services.items():
            for name, handler in handlers.items():
                path = f"/{service}/{name}"
                bound[path] = self.handler(path, handler)
        return Handlers(bound, grpc.stream_unary_rpc_method_handler(self._guarded("", _unknown)))

    def method(self, method: Method) -> Handler:
        """Bind a row of the table."""
        endpoint: Any = method.endpoint

        def answer(request: Any, _: Context) -> Any:  # noqa: ANN401
            return endpoint(request, ANYBODY)

        requests = self._requests(method.request.FromString, is_stream=method.takes_stream)
        if method.gives_stream:
            behaviour = self._streaming(requests, answer)
            return self._stream(method.path, behaviour, _encoded)
        return self._unary(method.path, requests, answer, method.response.SerializeToString)

    def handler(self, path: str, handler: Handler) -> Handler:
        """Bind a handler that was made elsewhere, of any shape.

        Raises TypeError for one that gRPC would run in a thread, where nothing can be wrapped
        around it.
        """
        shape = (handler.request_streaming, handler.response_streaming)
        answer = getattr(handler, _KINDS[shape])
        requests = self._requests(handler.request_deserializer, is_stream=shape[0])
        if inspect.isasyncgenfunction(answer):
            behaviour = self._streaming(requests, answer)
        elif not inspect.iscoroutinefunction(answer):
            raise TypeError(f"{path} is neither a coroutine function nor an async generator")
        elif not shape[1]:
            return self._unary(path, requests, answer, handler.response_serializer)
        else:
            behaviour = _writing(requests, answer)
        return self._stream(path, behaviour, handler.response_serializer)

    def _requests(self, decode: Decode | None, *, is_stream: bool) -> Requests:
        return Requests(decode or bytes, is_stream=is_stream, seconds=self._request_seconds)

    def _unary(
        self, path: str, requests: Requests, answer: Callable[..., Any], encode: Encode | None
    ) -> Handler:
        async def behaviour(context: Context) -> Any:  # noqa: ANN401
            answered = await answer(await requests.of(context), context)
            return encode(answered) if encode else answered

        return grpc.stream_unary_rpc_method_handler(self._guarded(path, behaviour))

    def _stream(self, path: str, behaviour: Behaviour, encode: Encode | None) -> Handler:
        return grpc.stream_stream_rpc_method_handler(
            self._guarded(path, behaviour),
            response_serializer=encode,
        )

    def _guarded(self, path: str, behaviour: Behaviour) -> Callable[[object, Context], Any]:
        async def guarded(_: object, context: Context) -> Any:  # noqa: ANN401
            self._gate.calls += 1
            try:
                if self._gate.is_closed:
                    await self._gate.wait()
                return await behaviour(context)
            except (Exception, asyncio.CancelledError, KeyboardInterrupt, SystemExit) as error:
                if isinstance(error, grpc.aio.AbortError) or _is_clients_own(error):
                    raise
                await refuse(context, self._refusals, error, method=path)
            finally:
                self._gate.calls -= 1

        return guarded

    def _streaming(
        self, requests: Requests, messages: Callable[[Any, Context], AsyncIterator[Any]]
    ) -> Behaviour:
        """Write what an async iterator gives: gRPC's own way of that is slower."""

        async def behaviour(context: Context) -> None:
            await self._starts.turn(context.peer())
            stream: Any = messages(await requests.of(context), context)
            async with aclosing(stream):
                async for message in stream:
                    await write(context, message, seconds=self._write_seconds)

        return behaviour


def _writing(requests: Requests, answer: Callable[..., Any]) -> Behaviour:
    """Let a coroutine function write its messages by itself."""

    async def behaviour(context: Context) -> Any:  # noqa: ANN401
        return await answer(await requests.of(context), context)

    return behaviour


async def _unknown(_: Context) -> None:
    raise MethodUnknown("this server has no such method")


def _encoded(message: Any) -> bytes:  # noqa: ANN401
    """Encode a message of a stream, unless its endpoint has encoded it."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def _is_clients_own(error: BaseException) -> bool:
    """Whether the client left; otherwise a cancellation escaped from some part of the service."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())
