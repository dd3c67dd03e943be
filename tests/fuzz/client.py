"""Fuzzes what the client reads of a server: details of errors, completions, pages."""

import math
from contextlib import suppress
from typing import Any, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from orderintake.errors import OrderIntakeError, from_rpc
from orderintake.pages import Pages
from orderintake.payloads import to_json
from orderintake.requests import place_order
from orderintake.status import DETAILS_KEY, DOMAIN, MOST_RETRY_SECONDS
from orderintake.streams.outbox import Outbox
from orderintake.streams.placed import Result
from orderintake.streams.subscription import Subscription
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2

CODES = list(grpc.StatusCode)


class _Failed(grpc.RpcError):
    """A call that failed with whatever a server sent."""

    def __init__(self, code: grpc.StatusCode, details: bytes) -> None:
        super().__init__()
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return None

    def trailing_metadata(self) -> Any:  # noqa: ANN401 - its types promise less than there is
        return ((DETAILS_KEY, self._details),)


def details(data: bytes) -> None:
    """Read the details of an error: whatever they are, the caller meets one of our errors."""
    code = CODES[data[0] % len(CODES)] if data else grpc.StatusCode.UNKNOWN
    error: Any = from_rpc(cast("grpc.RpcError", _Failed(code, data[1:])))
    assert isinstance(error, OrderIntakeError)
    assert error.code is code
    str(error).encode()
    for name in ("violations", "subject", "earliest_cursor", "order_id", "incident_id", "problem"):
        getattr(error, name, None)
    seconds = getattr(error, "retry_after", None)
    assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= MOST_RETRY_SECONDS)


def stream(data: bytes) -> None:
    """Read the messages of a stream: each completion grows, or the subscriber is told of it."""
    subscription = Subscription(api.StreamCompletionsRequest(), timeout=10, clock=lambda: 0.0)
    subscription.begin()
    subscription.request()
    last = -1
    with suppress(OrderIntakeError, DecodeError):
        for message in _messages(data):
            subscription.received(api.StreamCompletionsResponse.FromString(message))
            while (completion := subscription.next_completion()) is not None:
                assert completion.sequence == last + 1 or last < 0
                last = completion.sequence


class _Placed:
    """A future that must be given one result."""

    def __init__(self) -> None:
        self.given = 0

    def done(self) -> bool:
        return False

    def set_result(self, _: object, /) -> None:
        self.given += 1

    def set_exception(self, exception: Exception, /) -> None:
        assert isinstance(exception, OrderIntakeError)
        self.given += 1


def results(data: bytes) -> None:
    """Read the responses of a placing call: each order gets one result, whatever comes."""
    outbox: Outbox[_Placed] = Outbox(timeout=10, clock=lambda: 0.0)
    outbox.begin()
    outbox.opened()
    put(outbox.received(api.PlaceOrdersResponse(signal=api.SIGNAL_STARTED, max_unacknowledged=9)))
    placed = [_Placed() for _ in range(5)]
    for each in placed:
        outbox.add(place_order(customer_id="ada", lines={"tea": 1}), each)
    outbox.message()
    with suppress(DecodeError):
        for message in _messages(data):
            put(outbox.received(api.PlaceOrdersResponse.FromString(message)))
    assert len(outbox) == sum(not each.given for each in placed)
    put(outbox.fail(from_rpc(cast("grpc.RpcError", _Failed(CODES[0], b"")))))
    assert [each.given for each in placed] == [1] * 5


def put(results: list[Result[_Placed]]) -> None:
    """Put results as the owner of an outbox does."""
    for result in results:
        result.put()


def _messages(data: bytes) -> list[bytes]:
    """Take messages apart, each after its length in one byte."""
    found = []
    while data:
        size = data[0]
        found.append(data[1 : size + 1])
        data = data[size + 1 :]
    return found


def answer(data: bytes) -> None:
    """Show a completion as JSON, whatever its result is; and go on by whatever page token."""
    with suppress(DecodeError):
        to_json(order_pb2.Completion.FromString(data), zeros=True)
    pages = Pages(api.ListOrdersRequest(page_token="before"))  # noqa: S106 - no password
    with suppress(DecodeError, OrderIntakeError):
        pages.received(api.ListOrdersResponse.FromString(data))
        assert pages.ended == (not pages.request.page_token)


def details_seeds() -> list[bytes]:
    """Give details of each kind, and delays that nobody can wait for."""
    info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason="QUEUE_FULL", metadata={"a": "b"})
    bad, quota = error_details_pb2.BadRequest(), error_details_pb2.QuotaFailure()
    bad.field_violations.add(field="lines", description="none")
    quota.violations.add(subject="customer:ada")
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.seconds, retry.retry_delay.nanos = 2**62, -(2**31)
    status = status_pb2.Status(code=14, message="m")
    for each in (info, bad, quota, retry):
        status.details.append(_packed(each))
    return [bytes([number]) + status.SerializeToString() for number in range(3)]


def _packed(message: Any) -> AnyMessage:  # noqa: ANN401 - any message
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def stream_seeds() -> list[bytes]:
    """Give a stream that begins, brings completions, beats, and goes away."""
    messages = [
        api.StreamCompletionsResponse(signal=api.SIGNAL_STARTED, cursor="a"),
        api.StreamCompletionsResponse(completions=[_completion(1), _completion(2)], cursor="b"),
        api.StreamCompletionsResponse(signal=api.SIGNAL_HEARTBEAT, cursor="b"),
        api.StreamCompletionsResponse(completions=[_completion(3)], cursor="c"),
        api.StreamCompletionsResponse(signal=api.SIGNAL_GOING_AWAY, cursor="c"),
    ]
    encoded = [message.SerializeToString() for message in messages]
    return [b"".join(bytes([len(each)]) + each for each in encoded[: n + 1]) for n in range(5)]


def results_seeds() -> list[bytes]:
    """Give results of each kind, of orders that there are and of one that there is not."""
    refused = api.PlaceOrdersResult(index=1)
    refused.refusal.code, refused.refusal.message = 14, "later"
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.seconds = 2
    refused.refusal.details.append(_packed(retry))
    receipt = api.PlaceOrdersResult(index=0, receipt=api.PlaceOrderResponse(position=1))
    found = [
        api.PlaceOrdersResponse(results=[receipt, refused]),
        api.PlaceOrdersResponse(results=[api.PlaceOrdersResult(index=2)]),
        api.PlaceOrdersResponse(
            results=[api.PlaceOrdersResult(index=77, receipt=api.PlaceOrderResponse())]
        ),
        api.PlaceOrdersResponse(signal=api.SIGNAL_GOING_AWAY),
    ]
    return [bytes([each.ByteSize()]) + each.SerializeToString() for each in found]


def answer_seeds() -> list[bytes]:
    """Give completions with results that are known, unknown and none, and a page."""
    known = _completion(1)
    known.result.Pack(error_details_pb2.RetryInfo())
    unknown = _completion(2)
    unknown.result.type_url, unknown.result.value = "type.googleapis.com/no.such", b"\x00"
    page = api.ListOrdersResponse(next_page_token="more")  # noqa: S106 - no password
    return [each.SerializeToString() for each in (known, unknown, _completion(3), page)]


def _completion(sequence: int) -> order_pb2.Completion:
    made = order_pb2.Completion(sequence=sequence, cursor=f"c{sequence}")
    made.order.order_id = "0a1b2c3d-000000000001"
    made.order.state = order_pb2.STATE_SUCCEEDED
    return made
