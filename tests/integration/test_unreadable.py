"""What is no request, and what no method is: every call is told so as the contract says."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection
from hypothesis import given, settings
from hypothesis import strategies as st

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.api.methods import SERVICES
from support.in_process import listening
from support.orders import order
from support.refusals import refused

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = [
    f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods
]
STANDARD = [
    f"/{health.SERVICE_NAME}/Check",
    f"/{health.SERVICE_NAME}/Watch",
    f"/{reflection.SERVICE_NAME}/ServerReflectionInfo",
]
PLACE = PATHS[0]
GOOD = order("tea", request_id="r").SerializeToString()

STARTED = api.PlaceOrdersResponse(
    signal=api.SIGNAL_STARTED, max_unacknowledged=1_000
).SerializeToString()
"""What PlaceOrders answers before it has read anything."""
CUT = GOOD[:-1]
NO_TEXT = b"\x0a\x02\xff\xfe"
"""The first field of any of our requests that has one, if it is a text: two bytes that are none."""
UNREADABLE = {
    "a wrong wire type": b"\x0f",
    "a cut length": b"\x0a\x7fab",
    "an endless number": b"\x08" + b"\xff" * 11,
    "an end without a group": b"\x0c",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[grpc.aio.Channel]:
    """A server for all cases: what cannot be read changes nothing."""
    async with (
        listening(tmp_path_factory.mktemp("data"), workers=0) as (address, _),
        grpc.aio.insecure_channel(address) as opened,
    ):
        yield opened


async def told(channel: grpc.aio.Channel, path: str, body: bytes) -> grpc.aio.AioRpcError:
    """Call a method with these bytes, whatever its shape; it must fail, begun or not."""
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
    call = method(body, timeout=10)
    try:
        assert await call.read() == STARTED
        await call.read()
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("it was answered")


@pytest.mark.parametrize("path", [*PATHS, *STANDARD])
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_request_that_cannot_be_read_is_an_invalid_argument(
    channel: grpc.aio.Channel, path: str, body: bytes
) -> None:
    error = await told(channel, path, body)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused(error).reason, refused(error).fields) == ("INVALID_ORDER", [""])
    assert error.details() == "the request cannot be read as the method's message"


@pytest.mark.parametrize("body", [CUT, NO_TEXT], ids=["cut", "bad UTF-8"])
async def test_an_order_that_is_damaged_is_an_invalid_argument(
    channel: grpc.aio.Channel, body: bytes
) -> None:
    error = await told(channel, PLACE, body)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused(error).reason == "INVALID_ORDER"


@pytest.mark.parametrize(
    "path",
    [
        "/orderintake.v1.OrderIntakeService/BrewTea",
        "/orderintake.v1.Nobody/PlaceOrder",
        "/nobody/nothing",
        "/",
    ],
)
async def test_an_unknown_method_is_told_as_the_contract_says(
    channel: grpc.aio.Channel, path: str
) -> None:
    error = await told(channel, path, GOOD)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert refused(error).reason == "METHOD_UNKNOWN"


@settings(max_examples=200)
@given(body=st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda end: GOOD + end)))
async def test_no_bytes_get_an_answer_that_is_not_the_contracts(
    channel: grpc.aio.Channel, body: bytes
) -> None:
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PLACE)
    error = (await asyncio.gather(method(body, timeout=10), return_exceptions=True))[0]
    if isinstance(error, grpc.aio.AioRpcError):
        assert refused(error).reason in {"INVALID_ORDER", "REQUEST_ID_REUSED"}
    else:
        assert isinstance(error, bytes)


async def test_after_all_that_orders_are_taken(channel: grpc.aio.Channel) -> None:
    await told(channel, PLACE, CUT)
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PLACE)
    receipt = await method(GOOD)
    assert order_pb2.OrderLine(sku="tea", quantity=1).SerializeToString() in receipt
