"""P20: whatever a method raises becomes a status of the contract, and no caller hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError, EncodeError
from google.rpc import error_details_pb2, status_pb2

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server import errors
from orderintake_server.access import Caller, Callers, Credential, Credentials, OpenDoor, Role
from orderintake_server.api.access import ANYONE_KNOWN
from orderintake_server.api.methods import Method
from orderintake_server.api.refusals import Refusals
from orderintake_server.calls.door import Door
from orderintake_server.calls.gate import ShutdownGate
from orderintake_server.errors import FieldViolation, InvalidOrder
from orderintake_server.ids import Ids
from orderintake_server.metrics import PLACING
from orderintake_server.rpc.binder import Binder
from support.hostile_peer import framed, peer
from support.logs import capture_logs
from support.orders import order

METHOD = "/orderintake.v1.OrderIntakeService/PlaceOrder"
FOREVER = 3600.0


class Details(grpc.HandlerCallDetails):
    """A call of our one method."""

    method = METHOD
    invocation_metadata = ()


class Context:
    """Sends one message as the request; keeps what a call was aborted with, and was written."""

    def __init__(self, *requests: bytes) -> None:
        self.aborted: tuple[grpc.StatusCode, str, Any] | None = None
        self.written: list[bytes] = []
        self._requests = list(requests or (b"",))

    async def read(self) -> Any:  # noqa: ANN401 - bytes, or EOF
        return self._requests.pop(0) if self._requests else grpc.aio.EOF

    async def write(self, message: bytes) -> None:
        self.written.append(message)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def peer(self) -> str:
        return "unix:"

    def time_remaining(self) -> float | None:
        return None

    def code(self) -> int:
        return 0

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:  # noqa: ANN401
        self.aborted = (code, details, trailing_metadata)
        raise grpc.aio.AbortError

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        """What the details say of the error."""
        assert self.aborted is not None
        status = status_pb2.Status.FromString(dict(self.aborted[2])["grpc-status-details-bin"])
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        return info


def new_binder(
    gate: ShutdownGate | None = None,
    *,
    callers: Callers | None = None,
    request_seconds: float = FOREVER,
) -> Binder:
    return Binder(
        Refusals(Ids("0123abcd")),
        gate or ShutdownGate(),
        Door(callers or OpenDoor(), lambda: 0),
        write_seconds=FOREVER,
        request_seconds=request_seconds,
    )


SHAPES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def bound(inner: Any, *, shape: str = "unary_unary", gate: ShutdownGate | None = None) -> Any:  # noqa: ANN401
    """Bind a handler of gRPC's own kind; give what answers a call, by its context."""
    make = getattr(grpc, f"{shape}_rpc_method_handler")
    return partial(behaviour(new_binder(gate).handler(METHOD, make(inner), ANYONE_KNOWN)), None)


def behaviour(handler: Any) -> Any:  # noqa: ANN401
    """Give what gRPC calls: it reads the request by itself, whatever the method's shape."""
    return handler.stream_stream if handler.response_streaming else handler.stream_unary


def raising(error: BaseException, *, as_generator: bool) -> Any:  # noqa: ANN401
    """Make a behaviour that raises: a coroutine function, or an async generator."""

    async def coroutine(request: bytes, context: Context) -> bytes:
        raise error

    async def generator(request: bytes, context: Context) -> AsyncIterator[bytes]:
        if request != b"none":
            raise error
        yield b""

    return generator if as_generator else coroutine


async def aborted(
    error: BaseException, *, shape: str = "unary_unary", as_generator: bool = False
) -> Context:
    """Call a method that raises; it must abort."""
    context = Context()
    method = bound(raising(error, as_generator=as_generator), shape=shape)
    with pytest.raises(grpc.aio.AbortError):
        await method(context)
    assert context.aborted is not None
    return context


KINDS = [(shape, False) for shape in SHAPES] + [
    ("unary_stream", True),
    ("stream_stream", True),
]
"""Every shape a method can have, streams also as async generators."""


@pytest.mark.parametrize(("shape", "as_generator"), KINDS)
async def test_a_refusal_becomes_its_status(shape: str, *, as_generator: bool) -> None:
    refusal = InvalidOrder((FieldViolation(field="lines", description="has 0 lines"),))
    context = await aborted(refusal, shape=shape, as_generator=as_generator)
    assert context.aborted is not None
    code, text, _ = context.aborted
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text == refusal.text
    assert context.info.reason == "INVALID_ORDER"


@pytest.mark.parametrize(("shape", "as_generator"), KINDS)
async def test_p20_a_bug_is_told_by_a_fixed_text_and_an_incident_that_the_log_names(
    shape: str, *, as_generator: bool
) -> None:
    bug = KeyError("secret")
    with capture_logs() as log:
        context = await aborted(bug, shape=shape, as_generator=as_generator)
    assert context.aborted is not None
    code, text, trailing = context.aborted
    assert (code, text) == (grpc.StatusCode.INTERNAL, "internal error")
    assert "secret" not in str(trailing)
    (entry,) = log
    assert entry["incident_id"] == context.info.metadata["incident_id"] != ""
    assert entry["exc_info"] is bug
    assert entry["method"] == METHOD


async def test_each_bug_is_an_incident_of_its_own() -> None:
    with capture_logs():
        contexts = [await aborted(KeyError()) for _ in range(10)]
    assert len({context.info.metadata["incident_id"] for context in contexts}) == 10


async def test_a_cancellation_of_ours_is_a_bug_and_no_hang() -> None:
    with capture_logs():
        context = await aborted(asyncio.CancelledError())
    assert context.info.reason == "INTERNAL"


@pytest.mark.parametrize("error", [errors.StoreBroken("corrupt"), errors.StoreFull("full")])
async def test_a_store_that_cannot_be_read_is_unavailable(error: Exception) -> None:
    with capture_logs() as log:
        context = await aborted(error)
    assert context.aborted is not None
    assert context.aborted[0] is grpc.StatusCode.UNAVAILABLE
    assert "grpc-retry-pushback-ms" in dict(context.aborted[2])
    assert context.info.reason == "STORAGE_UNAVAILABLE"
    assert str(error) not in context.aborted[1]
    assert log[0]["error"] == str(error)


async def test_what_a_method_returns_is_left_alone() -> None:
    async def inner(request: bytes, context: Context) -> bytes:
        return request + b"!"

    assert await bound(inner)(Context(b"tea")) == b"tea!"


async def test_an_abort_is_left_alone() -> None:
    async def inner(request: bytes, context: Context) -> None:
        raise grpc.aio.AbortError

    context = Context()
    with pytest.raises(grpc.aio.AbortError):
        await bound(inner)(context)
    assert context.aborted is None


async def test_a_clients_cancellation_is_raised_again() -> None:
    waits = asyncio.Event()

    async def inner(request: bytes, context: Context) -> None:
        waits.set()
        await asyncio.sleep(FOREVER)

    context = Context()
    call = asyncio.create_task(bound(inner)(context))
    await waits.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.cancelled()
    assert context.aborted is None


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_last_calls_wait_until_the_gate_opens(shape: str) -> None:
    called = asyncio.Event()

    async def inner(request: bytes, context: Context) -> bytes:
        called.set()
        return b"tea"

    gate = ShutdownGate()
    gate.is_closed = True
    call = asyncio.create_task(bound(inner, shape=shape, gate=gate)(Context()))
    await asyncio.sleep(0)
    assert not called.is_set()
    await gate.open()
    assert await call == b"tea"


async def test_an_unknown_method_is_refused_as_the_contract_says() -> None:
    handlers = new_binder().handlers((), {}, {})
    context = Context()
    with pytest.raises(grpc.aio.AbortError):
        await behaviour(handlers.service(Details()))(None, context)
    assert context.aborted is not None
    assert context.aborted[0] is grpc.StatusCode.UNIMPLEMENTED
    assert context.info.reason == "METHOD_UNKNOWN"
    assert await context.read() is grpc.aio.EOF, "a client that is still sending is told INTERNAL"


async def test_what_would_run_in_a_thread_unguarded_is_refused() -> None:
    def plain(request: bytes, context: Context) -> None: ...

    handler: Any = grpc.unary_unary_rpc_method_handler(plain)
    with pytest.raises(TypeError, match=METHOD):
        new_binder().handler(METHOD, handler, ANYONE_KNOWN)


async def test_requests_are_decoded_and_answers_encoded_by_what_the_handler_says() -> None:
    seen: list[bytes] = []

    async def inner(request: bytes, context: Context) -> bytes:
        seen.append(request)
        return b"CAKE"

    handler: Any = grpc.unary_unary_rpc_method_handler(inner, bytes.upper, bytes.lower)
    found = new_binder().handler(METHOD, handler, ANYONE_KNOWN)
    assert found is not handler
    assert (found.request_deserializer, found.response_serializer) == (None, None)
    assert await behaviour(found)(None, Context(b"tea")) == b"cake"
    assert seen == [b"TEA"]


async def test_each_message_of_a_streamed_request_is_decoded() -> None:
    async def inner(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request + b"!"

    handler: Any = grpc.stream_stream_rpc_method_handler(inner, bytes.upper, bytes.lower)
    context, found = Context(b"tea", b"cake"), new_binder().handler(METHOD, handler, ANYONE_KNOWN)
    await behaviour(found)(None, context)
    assert context.written == [b"TEA!", b"CAKE!"]
    assert found.response_serializer is bytes.lower


class Known(OpenDoor):
    """Lets in one caller, whose right may end."""

    def __init__(self) -> None:
        self.caller = Caller(name="bob", credential=Credential.KEY, roles=frozenset({Role.WORKER}))

    def identify(self, _: Credentials) -> Caller:
        return self.caller


@pytest.mark.parametrize("shape", ["stream_unary", "stream_stream"])
async def test_a_streamed_request_ends_with_the_right_of_its_caller(shape: str) -> None:
    callers, taken = Known(), []

    async def take(requests: AsyncIterator[bytes], context: Context) -> bytes:
        async for request in requests:
            taken.append(request)
            callers.caller.is_revoked = True
        return b"all of it"

    async def take_in_silence(
        requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        yield await take(requests, context)

    inner: Any = take if shape == "stream_unary" else take_in_silence
    handler = getattr(grpc, f"{shape}_rpc_method_handler")(inner)
    context = Context(b"before", b"after")
    bound_one = new_binder(callers=callers).handler(METHOD, handler, ANYONE_KNOWN)
    with pytest.raises(grpc.aio.AbortError):
        await behaviour(bound_one)(None, context)
    assert (context.info.reason, context.info.metadata["problem"]) == ("UNAUTHENTICATED", "EXPIRED")
    assert taken == [b"before"]
    assert context.written == []


def no_message(request: bytes) -> bytes:
    raise DecodeError(f"secret: {request!r}")


def no_text(request: bytes) -> bytes:
    return request.decode().encode()


@pytest.mark.parametrize("decode", [no_message, no_text])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_request_that_cannot_be_read_is_a_refusal(shape: str, decode: Any) -> None:  # noqa: ANN401
    async def inner(request: Any, context: Context) -> bytes:  # noqa: ANN401
        return b"".join([part async for part in request]) if "stream_" in shape else request

    make = getattr(grpc, f"{shape}_rpc_method_handler")
    context, found = (
        Context(b"\xff"),
        new_binder().handler(METHOD, make(inner, decode), ANYONE_KNOWN),
    )
    with pytest.raises(grpc.aio.AbortError):
        await behaviour(found)(None, context)
    assert context.aborted is not None
    assert context.aborted[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert "secret" not in str(context.aborted)
    assert context.info.reason == "INVALID_ORDER"


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_request_that_does_not_come_is_given_up(shape: str) -> None:
    class Silent(Context):
        async def read(self) -> bytes:
            await asyncio.sleep(FOREVER)
            return b""

    async def inner(request: Any, context: Context) -> bytes:  # noqa: ANN401
        return b"".join([part async for part in request]) if "stream_" in shape else request

    make = getattr(grpc, f"{shape}_rpc_method_handler")
    context, found = (
        Silent(),
        new_binder(request_seconds=0.01).handler(METHOD, make(inner), ANYONE_KNOWN),
    )
    with pytest.raises(grpc.aio.AbortError):
        await behaviour(found)(None, context)
    assert context.info.reason == "REQUEST_TOO_SLOW"


async def test_a_request_without_a_message_is_a_refusal() -> None:
    async def inner(request: bytes, context: Context) -> bytes:
        return request

    context = Context(b"tea")
    await context.read()
    with pytest.raises(grpc.aio.AbortError):
        await bound(inner)(context)
    assert context.info.reason == "INVALID_ORDER"


def cannot(_: object) -> bytes:
    raise EncodeError("secret")


async def test_p20_an_answer_that_cannot_be_encoded_is_a_bug() -> None:
    async def inner(request: bytes, context: Context) -> bytes:
        return request

    handler: Any = grpc.unary_unary_rpc_method_handler(inner, None, cannot)
    context = Context()
    with capture_logs(), pytest.raises(grpc.aio.AbortError):
        await behaviour(new_binder().handler(METHOD, handler, ANYONE_KNOWN))(None, context)
    assert context.info.reason == "INTERNAL"
    assert "secret" not in str(context.aborted)


@pytest.mark.parametrize("bug", [MemoryError(), RecursionError(), SystemExit(3)])
async def test_p20_no_bug_ends_the_process_or_leaves_as_it_is(bug: BaseException) -> None:
    with capture_logs():
        context = await aborted(bug)
    assert context.info.reason == "INTERNAL"


async def test_p20_an_error_that_cannot_even_be_told_is_internal() -> None:
    context = await aborted(errors.OrderNotFound("\ud800 is no text"))
    assert context.info.reason == "INTERNAL"


async def test_a_generator_is_ended_in_its_own_task_when_its_client_leaves() -> None:
    ended: list[asyncio.Task[Any] | None] = []

    async def inner(request: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            yield b"tea"
            yield b"cake"
        finally:
            ended.append(asyncio.current_task())

    class Stalled(Context):
        """A client that takes the first message, and no other."""

        stalled = asyncio.Event()

        async def write(self, message: bytes) -> None:
            if message == b"cake":
                self.stalled.set()
                await asyncio.sleep(FOREVER)

    context = Stalled()
    call = asyncio.create_task(bound(inner, shape="unary_stream")(context))
    await context.stalled.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended == [call]


@asynccontextmanager
async def listening(inner: Any, *, request_seconds: float = FOREVER) -> AsyncIterator[str]:  # noqa: ANN401
    """Serve a method that is bound; give the address."""
    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(inner)
    services = {"orderintake.v1.OrderIntakeService": {"PlaceOrder": handler}}
    binder = new_binder(request_seconds=request_seconds)
    rules = dict.fromkeys(services, ANYONE_KNOWN)
    server.add_generic_rpc_handlers((binder.handlers((), services, rules),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@asynccontextmanager
async def served(inner: Any) -> AsyncIterator[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]]:  # noqa: ANN401
    """Serve a method that is bound; give what calls it over a real channel."""
    async with listening(inner) as address, grpc.aio.insecure_channel(address) as channel:
        yield channel.unary_unary(METHOD)


async def never_called(request: bytes, context: object) -> bytes:
    raise AssertionError("there is no whole request")


async def test_over_a_connection_a_call_that_never_sends_its_request_is_ended() -> None:
    async with listening(never_called, request_seconds=0.05) as address, peer(address) as caller:
        silent, half = caller.begin(METHOD), caller.begin(METHOD)
        caller.send(half, framed(b"tea and cake")[:-4])
        for answer in (await caller.answer(silent), await caller.answer(half)):
            assert answer.headers["grpc-status"] == str(grpc.StatusCode.UNAVAILABLE.value[0])
            assert "grpc-status-details-bin" in answer.headers


async def test_over_a_connection_a_call_that_ends_without_a_request_is_told_so() -> None:
    async with listening(never_called) as address, peer(address) as caller:
        answer = await caller.ask(METHOD, b"")
    assert answer.headers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])


async def test_over_a_connection_who_leaves_before_his_request_is_whole_costs_no_word() -> None:
    async with listening(never_called) as address, peer(address) as caller:
        with capture_logs() as log:
            for _ in range(100):
                caller.reset(caller.begin(METHOD))
            answer = await caller.ask(METHOD, b"")
    assert answer.headers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
    assert log == []


async def test_over_a_channel_a_cancellation_of_ours_is_answered() -> None:
    async def inner(request: bytes, context: object) -> None:
        raise asyncio.CancelledError

    async with served(inner) as call:
        with capture_logs(), pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(b"", timeout=FOREVER)
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert failed.value.details() == "internal error"


async def test_over_a_channel_a_method_sees_its_client_leave() -> None:
    waits, left = asyncio.Event(), asyncio.Event()

    async def inner(request: bytes, context: object) -> None:
        waits.set()
        try:
            await asyncio.sleep(FOREVER)
        finally:
            left.set()

    async with served(inner) as method:
        with capture_logs() as log:
            call = method(b"")
            await waits.wait()
            call.cancel()
            await left.wait()
    assert log == []


async def test_over_a_channel_the_largest_bad_request_arrives() -> None:
    worst = FieldViolation(
        field=f"requests[999].labels[{'😀' * 63!r}]",
        description="has 65000 characters; at most 256 are allowed",
    )

    async def inner(request: bytes, context: object) -> None:
        raise InvalidOrder((worst,) * 50)

    async with served(inner) as call:
        for _ in range(20):  # metadata near the limit is refused at random
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call(b"")
            assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


class Slow(Context):
    """Sends its message when the test says so."""

    def __init__(self) -> None:
        super().__init__(order_of_one())
        self.may_send = asyncio.Event()

    async def read(self) -> Any:  # noqa: ANN401 - bytes, or EOF
        await self.may_send.wait()
        return await super().read()


async def test_p23_a_stream_of_orders_begins_at_once_and_waits_for_them() -> None:
    context = Slow()

    async def echo(messages: AsyncIterator[Any], _: object) -> AsyncIterator[bytes]:
        yield b"started"
        async for _ in messages:
            yield b"result"

    call = asyncio.create_task(placing(echo)(None, context))
    await asyncio.wait({call}, timeout=0.03)
    assert context.written == [b"started"]
    context.may_send.set()
    await call
    assert context.written == [b"started", b"result"]


async def test_p23_a_stream_that_may_not_begin_takes_its_first_message_and_is_refused() -> None:
    context = Context(order_of_one())

    async def refuse(messages: AsyncIterator[Any], _: object) -> AsyncIterator[bytes]:
        raise errors.TooManyStreams("there are too many")
        yield b""

    with pytest.raises(grpc.aio.AbortError):
        await placing(refuse)(None, context)
    assert context.info.reason == "TOO_MANY_STREAMS"
    assert await context.read() is grpc.aio.EOF, "a client that is still sending is told INTERNAL"


def order_of_one() -> bytes:
    return api.PlaceOrdersRequest(orders=[order()]).SerializeToString()


def placing(endpoint: Any) -> Any:  # noqa: ANN401
    """Bind an endpoint as that of PlaceOrders."""
    method = Method(
        path=METHOD,
        request=api.PlaceOrdersRequest,
        response=api.PlaceOrdersResponse,
        takes_stream=True,
        gives_stream=True,
        is_safe=False,
        rule=ANYONE_KNOWN,
        meter=PLACING,
        endpoint=endpoint,
    )
    return behaviour(new_binder(request_seconds=0.01).method(method))
