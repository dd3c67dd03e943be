"""Makes the gRPC handler of every method, with what all methods need around it."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from orderintake_server.api.decoding import reader
from orderintake_server.calls.limits import write_limit
from orderintake_server.calls.recorder import Recorder
from orderintake_server.calls.telling import told
from orderintake_server.errors import MethodUnknown, Refusal
from orderintake_server.metrics import CALL, WATCH
from orderintake_server.rpc.headers import headers_of
from orderintake_server.rpc.messages import REQUEST_SECONDS, Requests, drop
from orderintake_server.rpc.starts import Starts
from orderintake_server.rpc.status import code_of, refuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from orderintake_server.api.access import Call, Rule
    from orderintake_server.api.methods import Method
    from orderintake_server.api.refusals import Refusals
    from orderintake_server.calls.door import Door
    from orderintake_server.calls.gate import ShutdownGate
    from orderintake_server.calls.recorder import Record
    from orderintake_server.metrics import Meter
    from orderintake_server.rpc.messages import Context, Decode

    Handler = grpc.RpcMethodHandler[Any, Any]
    Encode = Callable[[Any], bytes]
    Behaviour = Callable[[Context, Call | None], Awaitable[Any]]
    """Answers a call: it reads the request, and returns the encoded message or writes many."""

_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}
"""gRPC's names of the shapes, by whether the client streams and whether the server does."""
UNKNOWN = "_OTHER"
"""Stands for every method that there is not, where calls are counted."""


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
    """Wraps each method, whatever its shape: door, shutdown gate, meter and mapping of errors.

    To gRPC every method takes a stream of bytes, so that a call is ours from its first header on:
    its caller is known before its request is, which is awaited for a bounded time, and read where
    an error of that is mapped too.
    Refusals become their statuses, and bugs INTERNAL with an incident id. A client's own
    cancellation passes through untouched: swallowing it leaks memory (grpc#43360).
    """

    def __init__(  # noqa: PLR0913 - all that is around a call
        self,
        refusals: Refusals,
        gate: ShutdownGate,
        door: Door,
        *,
        write_seconds: float,
        request_seconds: float = REQUEST_SECONDS,
        recorder: Recorder | None = None,
    ) -> None:
        """Tell errors by `refusals`; keep what `recorder` keeps of each call.

        A client may take `request_seconds` to send each message of its request, and
        `write_seconds` to take each message of a stream.
        """
        self._refusals = refusals
        self._gate = gate
        self._door = door
        self._starts = Starts()
        self._writes = write_limit(write_seconds)
        self._request_seconds = request_seconds
        self._recorder = recorder or Recorder()

    def handlers(
        self,
        methods: Iterable[Method],
        services: Mapping[str, Mapping[str, Handler]],
        rules: Mapping[str, Rule | None],
    ) -> Handlers:
        """Bind the table's methods, and gRPC's own services, by service and by method name.

        `rules` has one for each of gRPC's services: None lets in whoever calls.
        """
        bound = {method.path: self.method(method) for method in methods}
        for service, handlers in services.items():
            for name, handler in handlers.items():
                path = f"/{service}/{name}"
                bound[path] = self.handler(path, handler, rules[service])
        unknown = self._guarded("", None, _unknown, CALL)
        return Handlers(bound, grpc.stream_unary_rpc_method_handler(unknown))

    def method(self, method: Method) -> Handler:
        """Bind a row of the table."""
        endpoint: Any = method.endpoint
        requests = self._requests(reader(method.request), is_stream=method.takes_stream, ours=True)

        async def unary(context: Context, call: Call | None) -> bytes:
            message = await requests.of(context, call)
            if call is not None:
                call.seconds_left = context.time_remaining
            return _encoded(await endpoint(message, call))

        def messages(request: Any, _: Context, call: Call | None) -> Any:  # noqa: ANN401
            return endpoint(request, call)

        if not method.gives_stream:
            return _unary(self._guarded(method.path, method.rule, unary, method.meter))
        streaming = self._streaming(requests, messages)
        guarded = self._guarded(method.path, method.rule, streaming, method.meter)
        return _stream(guarded, _encoded)

    def handler(self, path: str, handler: Handler, rule: Rule | None) -> Handler:
        """Bind a handler that was made elsewhere, of any shape, for callers that the rule admits.

        Raises TypeError for one that gRPC would run in a thread, where nothing can be wrapped
        around it.
        """
        shape = (handler.request_streaming, handler.response_streaming)
        inner = getattr(handler, _KINDS[shape])

        def answer(request: Any, context: Context, _: Call | None) -> Any:  # noqa: ANN401
            return inner(request, context)

        requests = self._requests(handler.request_deserializer, is_stream=shape[0])
        if inspect.isasyncgenfunction(inner):
            behaviour = self._streaming(requests, answer)
        elif not inspect.iscoroutinefunction(inner):
            raise TypeError(f"{path} is neither a coroutine function nor an async generator")
        elif not shape[1]:
            behaviour = _answering(requests, answer, handler.response_serializer)
            return _unary(self._guarded(path, rule, behaviour, CALL))
        else:
            behaviour = _answering(requests, answer, None)
        return _stream(self._guarded(path, rule, behaviour, WATCH), handler.response_serializer)

    def _requests(self, decode: Decode | None, *, is_stream: bool, ours: bool = False) -> Requests:
        """Read requests; the streams of our own methods begin first, and wait for messages."""
        return Requests(
            decode or bytes,
            self._door.check,
            is_stream=is_stream,
            seconds=None if is_stream and ours else self._request_seconds,
        )

    def _guarded(
        self, path: str, rule: Rule | None, behaviour: Behaviour, meter: Meter
    ) -> Callable[[object, Context], Any]:
        gate, let_in = self._gate, self._door.let_in
        is_traced = bool(rule or not path)
        begin = self._recorder.of(path[1:] or UNKNOWN, meter, is_traced=is_traced).begin

        async def guarded(_: object, context: Context) -> Any:  # noqa: ANN401
            shown, trace = headers_of(context)
            record = begin(trace)
            gate.calls += 1
            try:
                if gate.is_closed:
                    await gate.wait()
                try:
                    call = let_in(shown, rule, record) if rule else None
                except Refusal:
                    await drop(context)
                    raise
                return await behaviour(context, call)
            except (Exception, asyncio.CancelledError, KeyboardInterrupt, SystemExit) as error:
                if not await self._tell(context, record, path, error):
                    raise
            finally:
                gate.calls -= 1
                record.end()

        return guarded

    async def _tell(
        self, context: Context, record: Record, path: str, error: BaseException
    ) -> bool:
        """Tell a caller why its call ends. False: it has been told, or has left."""
        record.failed(error)
        if isinstance(error, grpc.aio.AbortError) or _is_clients_own(error):
            record.code = _code_of_others(context, error)
            return False
        reply = told(self._refusals, error, method=path)
        record.refused(reply, code_of(reply).name, error)
        await refuse(context, reply)
        return True

    def _streaming(
        self, requests: Requests, messages: Callable[..., AsyncIterator[Any]]
    ) -> Behaviour:
        """Write what an async iterator gives, as long as its caller may have it.

        Where the request is a stream too, each of its messages asks whether it may.
        gRPC's own way of that is slower.
        """

        async def behaviour(context: Context, call: Call | None) -> None:
            await self._starts.turn(context.peer())
            stream: Any = messages(await requests.of(context, call), context, call)
            async with aclosing(stream):
                if requests.is_patient:
                    await self._begin(context, stream)
                async for message in stream:
                    if call is not None and not requests.is_stream:
                        self._door.check(call)
                    await self._writes.wait(context.write(message))

        return behaviour

    async def _begin(self, context: Context, stream: AsyncIterator[Any]) -> None:
        """Write the first message of a stream, which comes before its caller has sent anything."""
        try:
            message = await anext(stream)
        except Refusal:
            await drop(context)
            raise
        await self._writes.wait(context.write(message))


def _unary(guarded: Callable[[object, Context], Any]) -> Handler:
    return grpc.stream_unary_rpc_method_handler(guarded)


def _stream(guarded: Callable[[object, Context], Any], encode: Encode | None) -> Handler:
    return grpc.stream_stream_rpc_method_handler(guarded, response_serializer=encode)


def _answering(requests: Requests, answer: Callable[..., Any], encode: Encode | None) -> Behaviour:
    """Answer with what a coroutine function returns; one that streams writes by itself."""

    async def behaviour(context: Context, call: Call | None) -> Any:  # noqa: ANN401
        answered = await answer(await requests.of(context, call), context, call)
        return encode(answered) if encode else answered

    return behaviour


async def _unknown(context: Context, _: Call | None) -> None:
    await drop(context)
    raise MethodUnknown("this server has no such method")


def _encoded(message: Any) -> bytes:  # noqa: ANN401
    """Encode a message, unless its endpoint has encoded it."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def _is_clients_own(error: BaseException) -> bool:
    """Whether the client left; otherwise a cancellation escaped from some part of the service."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())


def _code_of_others(context: Context, error: BaseException) -> str:
    """Name the status code of a call that its client, or a handler made elsewhere, has ended."""
    if not isinstance(error, asyncio.CancelledError):
        return _NAMES.get(context.code(), "UNKNOWN")
    return "DEADLINE_EXCEEDED" if _is_over(context.time_remaining()) else "CANCELLED"


def _is_over(seconds_left: float | None) -> bool:
    return seconds_left is not None and seconds_left <= 0


_NAMES: dict[object, str] = {code.value[0]: code.name for code in grpc.StatusCode}
"""The names of the codes; gRPC gives a context's code as its number."""
