"""P20: whatever a method raises becomes a status of the contract, and no caller hangs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs

from orderintake_server import errors
from orderintake_server.errors import FieldViolation, InvalidOrder
from orderintake_server.ids import Ids
from orderintake_server.rpc.hold import ShutdownGate
from orderintake_server.rpc.interceptors import Guard
from orderintake_server.rpc.status import Statuses

METHOD = "/orderintake.v1.OrderIntakeService/PlaceOrder"
FOREVER = 3600.0


class Details(grpc.HandlerCallDetails):
    """A call of our one method."""

    method = METHOD
    invocation_metadata = ()


class Context:
    """Keeps what a call was aborted with."""

    def __init__(self) -> None:
        self.aborted: tuple[grpc.StatusCode, str, Any] | None = None

    def time_remaining(self) -> float | None:
        return None

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


def new_guard(hold: ShutdownGate | None = None) -> Guard:
    return Guard(Statuses(Ids("0123abcd")), hold or ShutdownGate())


async def guarded(inner: Any, *, streams: bool = False) -> Callable[..., Any]:  # noqa: ANN401
    """Put a guard around a method."""
    make = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
    handler = await _intercepted(new_guard(), make(inner))
    assert handler is not None
    method: Callable[..., Any] = handler.unary_stream if streams else handler.unary_unary
    return method


async def _intercepted(guard: Guard, handler: Any) -> Any:  # noqa: ANN401
    async def continuation(details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401
        return handler

    return await guard.intercept_service(continuation, Details())


async def aborted(error: BaseException, *, streams: bool = False) -> Context:
    """Call a method that raises; it must abort."""

    async def inner(request: bytes, context: Context) -> bytes:
        raise error

    context = Context()
    method = await guarded(inner, streams=streams)
    with pytest.raises(grpc.aio.AbortError):
        await method(b"", context)
    assert context.aborted is not None
    return context


@pytest.mark.parametrize("streams", [True, False])
async def test_a_refusal_becomes_its_status(*, streams: bool) -> None:
    refusal = InvalidOrder((FieldViolation(field="lines", description="has 0 lines"),))
    context = await aborted(refusal, streams=streams)
    assert context.aborted is not None
    code, text, _ = context.aborted
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text == refusal.text
    assert context.info.reason == "INVALID_ORDER"


@pytest.mark.parametrize("streams", [True, False])
async def test_p20_a_bug_is_told_by_a_fixed_text_and_an_incident_that_the_log_names(
    *, streams: bool
) -> None:
    bug = KeyError("secret")
    with capture_logs() as log:
        context = await aborted(bug, streams=streams)
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

    method = await guarded(inner)
    assert await method(b"tea", Context()) == b"tea!"


async def test_an_abort_is_left_alone() -> None:
    async def inner(request: bytes, context: Context) -> None:
        raise grpc.aio.AbortError

    context = Context()
    with pytest.raises(grpc.aio.AbortError):
        await (await guarded(inner))(b"", context)
    assert context.aborted is None


async def test_a_clients_cancellation_is_raised_again() -> None:
    waits = asyncio.Event()

    async def inner(request: bytes, context: Context) -> None:
        waits.set()
        await asyncio.sleep(FOREVER)

    context = Context()
    call = asyncio.create_task((await guarded(inner))(b"", context))
    await waits.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.cancelled()
    assert context.aborted is None


async def test_the_last_calls_are_held_until_the_release() -> None:
    called = asyncio.Event()

    async def inner(request: bytes, context: Context) -> bytes:
        called.set()
        return b"tea"

    hold = ShutdownGate()
    hold.is_on = True
    guard = new_guard(hold)
    handler = await _intercepted(guard, grpc.unary_unary_rpc_method_handler(inner))
    call = asyncio.create_task(handler.unary_unary(b"", Context()))
    await asyncio.sleep(0)
    assert not called.is_set()
    hold.release()
    assert await call == b"tea"


async def test_a_method_is_guarded_once() -> None:
    async def inner(request: bytes, context: Context) -> None: ...

    guard = new_guard()
    handler: object = grpc.unary_unary_rpc_method_handler(inner)
    assert await _intercepted(guard, handler) is await _intercepted(guard, None)


async def test_an_unknown_method_is_left_unknown() -> None:
    assert await _intercepted(new_guard(), None) is None


async def test_what_is_not_ours_is_left_alone() -> None:
    async def streams(requests: object, context: Context) -> None: ...

    def plain(request: bytes, context: Context) -> None: ...

    others: list[Any] = [
        grpc.stream_unary_rpc_method_handler(streams),
        grpc.stream_stream_rpc_method_handler(streams),
        grpc.unary_unary_rpc_method_handler(plain),
    ]
    for handler in others:
        assert await _intercepted(new_guard(), handler) is handler


async def test_the_deserializers_are_kept() -> None:
    async def inner(request: bytes, context: Context) -> None: ...

    handler: Any = grpc.unary_unary_rpc_method_handler(inner, bytes.upper, bytes.lower)
    found = await _intercepted(new_guard(), handler)
    assert found is not handler
    assert (found.request_deserializer, found.response_serializer) == (bytes.upper, bytes.lower)


@asynccontextmanager
async def served(inner: Any) -> AsyncIterator[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]]:  # noqa: ANN401
    """Serve a method behind a guard; give what calls it over a real channel."""
    server = grpc.aio.server(interceptors=[new_guard()])
    handler = grpc.method_handlers_generic_handler(
        "orderintake.v1.OrderIntakeService",
        {"PlaceOrder": grpc.unary_unary_rpc_method_handler(inner)},
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.unary_unary(METHOD)
    await server.stop(0)


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
