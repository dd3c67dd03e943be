"""Both clients over real sockets: the same calls, the same errors."""

from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, wrappers_pb2

import orderintake
from client.blocking import Connect
from client.fake_server import (
    UNAVAILABLE,
    FakeServer,
    Refusal,
    Silence,
)
from orderintake import VIP, OrderLine, PlaceOrderRequest


def test_an_order_is_placed_with_all_its_parts(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        receipt = client.place(
            customer_id="ada",
            lines={"tea": 2, "milk": 1},
            tier=VIP,
            labels={"table": "5"},
            payload=wrappers_pb2.StringValue(value="no sugar"),
            request_id="r1",
        )
    order = receipt.order
    payload = wrappers_pb2.StringValue()
    assert order.payload.Unpack(payload)
    assert payload.value == "no sugar"
    assert [(line.sku, line.quantity) for line in order.lines] == [("tea", 2), ("milk", 1)]
    assert (order.order_id, order.customer_id, order.tier) == ("order of r1", "ada", VIP)
    assert order.labels == {"table": "5"}
    assert receipt.durability == orderintake.Durability.DURABILITY_FSYNC


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_an_order_gets_one_request_id_for_all_attempts(
    server: FakeServer, connect: Connect, code: grpc.StatusCode
) -> None:
    server.servicer.endings += [Refusal(code=code, pushback_ms=1)] * 4
    with connect(server.target) as client:
        client.place(customer_id="ada", lines={"tea": 1})
    assert len(server.servicer.requests) == 5
    (request_id,) = {request.request_id for request in server.servicer.requests}
    assert len(request_id) == 32


def test_a_large_batch_is_retried_too(server: FakeServer, connect: Connect) -> None:
    server.servicer.endings += [Refusal(code=grpc.StatusCode.UNAVAILABLE, pushback_ms=1)] * 2
    payload = any_pb2.Any(type_url="x/y.Z", value=bytes(60_000))
    orders = [{"customer_id": "ada", "lines": {"tea": 1}, "payload": payload}] * 60
    with connect(server.target) as client:
        receipts = client.place_batch(orders)
    assert len(receipts) == 60
    assert len(server.servicer.requests) == 3


def test_a_refusal_that_may_pass_is_raised_when_the_attempts_are_used_up(
    server: FakeServer, connect: Connect
) -> None:
    full = Refusal(
        code=grpc.StatusCode.UNAVAILABLE, reason="QUEUE_FULL", retry_after=1.5, pushback_ms=1
    )
    server.servicer.endings += [full] * 5
    with connect(server.target) as client, pytest.raises(orderintake.Unavailable) as caught:
        client.place(customer_id="ada", lines={"tea": 1})
    assert len(server.servicer.requests) == 5
    assert caught.value.reason == "QUEUE_FULL"
    assert caught.value.retry_after == 1.5


def test_a_pushback_beyond_the_timeout_ends_as_deadline_exceeded(
    server: FakeServer, connect: Connect
) -> None:
    server.servicer.endings.append(
        Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="QUEUE_FULL", pushback_ms=60_000)
    )
    with (
        connect(server.target, timeout=0.2) as client,
        pytest.raises(orderintake.DeadlineExceeded),
    ):
        client.place(customer_id="ada", lines={"tea": 1})


def test_a_silent_server_ends_as_deadline_exceeded(server: FakeServer, connect: Connect) -> None:
    server.servicer.endings.append(Silence())
    with (
        connect(server.target, timeout=0.2) as client,
        pytest.raises(orderintake.DeadlineExceeded) as caught,
    ):
        client.get("order-1")
    assert caught.value.reason == ""


def test_a_batch_mixes_keywords_and_requests_and_leaves_them_as_they_are(
    server: FakeServer, connect: Connect
) -> None:
    request = PlaceOrderRequest(customer_id="bob", lines=[OrderLine(sku="tea", quantity=1)])
    before = PlaceOrderRequest.FromString(request.SerializeToString())
    keywords = {"customer_id": "ada", "lines": [OrderLine(sku="tea", quantity=2)]}
    with connect(server.target) as client:
        receipts = client.place_batch([keywords, request, request])
    assert request == before
    (batch,) = server.servicer.requests
    assert len({each.request_id for each in batch.requests} - {""}) == 3
    assert [receipt.order.customer_id for receipt in receipts] == ["ada", "bob", "bob"]


def test_an_order_is_looked_up(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        response = client.get("order-1")
    assert response.order.order_id == "order-1"
    assert response.completion.sequence == 1


REFUSALS: list[tuple[Refusal, type[orderintake.OrderIntakeError], dict[str, Any]]] = [
    (
        Refusal(
            code=grpc.StatusCode.INVALID_ARGUMENT,
            reason="INVALID_ORDER",
            violations={"customer_id": "is required", "lines": "are required"},
        ),
        orderintake.InvalidOrder,
        {
            "violations": (
                orderintake.FieldViolation(field="customer_id", description="is required"),
                orderintake.FieldViolation(field="lines", description="are required"),
            )
        },
    ),
    (
        Refusal(
            code=grpc.StatusCode.ALREADY_EXISTS,
            reason="REQUEST_ID_REUSED",
            metadata={"order_id": "order-7"},
        ),
        orderintake.RequestIdReused,
        {"order_id": "order-7", "metadata": {"order_id": "order-7"}},
    ),
    *(
        (
            Refusal(code=grpc.StatusCode.UNAVAILABLE, reason=reason, retry_after=0.25),
            orderintake.Unavailable,
            {"retry_after": 0.25},
        )
        for reason in ("QUEUE_FULL", "DRAINING", "STORAGE_UNAVAILABLE")
    ),
    (UNAVAILABLE, orderintake.Unavailable, {"retry_after": None}),
    (
        Refusal(code=grpc.StatusCode.NOT_FOUND, reason="ORDER_NOT_FOUND"),
        orderintake.OrderNotFound,
        {},
    ),
    (
        Refusal(code=grpc.StatusCode.INTERNAL, reason="INTERNAL", metadata={"incident_id": "i-1"}),
        orderintake.InternalError,
        {"incident_id": "i-1"},
    ),
    (Refusal(code=grpc.StatusCode.UNAUTHENTICATED), orderintake.OrderIntakeError, {}),
    (Refusal(code=grpc.StatusCode.CANCELLED), orderintake.Unavailable, {"retry_after": None}),
    (Refusal(code=grpc.StatusCode.RESOURCE_EXHAUSTED), orderintake.OrderIntakeError, {}),
    (
        Refusal(
            code=grpc.StatusCode.RESOURCE_EXHAUSTED,
            reason="CUSTOMER_QUOTA",
            quota_subject="customer:ada",
            retry_after=0.25,
        ),
        orderintake.CustomerQuota,
        {"subject": "customer:ada", "retry_after": 0.25},
    ),
    (
        Refusal(
            code=grpc.StatusCode.OUT_OF_RANGE,
            reason="CURSOR_EXPIRED",
            metadata={"earliest_cursor": "c5"},
        ),
        orderintake.CursorExpired,
        {"earliest_cursor": "c5"},
    ),
    (
        Refusal(code=grpc.StatusCode.FAILED_PRECONDITION, reason="ORDER_NOT_REDRIVABLE"),
        orderintake.OrderNotRedrivable,
        {},
    ),
]


@pytest.mark.parametrize(
    ("refusal", "kind", "data"),
    REFUSALS,
    ids=[refusal.reason or refusal.code.name for refusal, _, _ in REFUSALS],
)
def test_a_refusal_is_raised_as_its_own_class_with_its_data(
    server: FakeServer,
    connect: Connect,
    refusal: Refusal,
    kind: type[orderintake.OrderIntakeError],
    data: dict[str, Any],
) -> None:
    server.servicer.endings.append(refusal)
    with (
        connect(server.target) as client,
        pytest.raises(orderintake.OrderIntakeError) as caught,
    ):
        client.place(customer_id="ada", lines={"tea": 1})
    error = caught.value
    assert type(error) is kind
    assert {name: getattr(error, name) for name in data} == data
    assert (error.code, error.reason, error.message) == (refusal.code, refusal.reason, "no")
    assert isinstance(error.__cause__, grpc.RpcError)


def test_a_client_that_is_not_open_says_so(server: FakeServer, connect: Connect) -> None:
    client = connect(server.target)
    with pytest.raises(RuntimeError, match="with"):
        client.get("order-1")
    with client:
        assert client.get("order-1")


def test_a_client_is_opened_and_closed_without_a_block_too(
    server: FakeServer, connect: Connect
) -> None:
    with connect(server.target) as client:
        for _ in range(2):  # what was closed is opened anew
            client.close()
            client.close()
            with pytest.raises(RuntimeError, match="open"):
                client.get("order-1")
            assert client.open() is client
            assert client.open() is client
            assert client.get("order-1")


def test_closing_ends_the_streams_that_are_open(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client, client.completions() as completions:
        client.close()
        assert list(completions) == []


def test_a_value_that_is_no_text_is_told_by_its_field(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        for call in (client.get, client.cancel, client.redrive):
            with pytest.raises(TypeError, match=r"^order_id must be text, not int"):
                call(5)
        with pytest.raises(TypeError, match=r"labels\['a'\] must be text, not int"):
            client.place(customer_id="ada", lines={"tea": 1}, labels={"a": 1})
        with pytest.raises(ValueError, match=r"^tier: "):
            client.pause_tier("vip")
    assert server.servicer.requests == []


def test_credentials_make_the_connection_a_secure_one(connect: Connect) -> None:
    with (
        FakeServer(grpc.local_server_credentials()) as server,
        connect(server.target, credentials=grpc.local_channel_credentials()) as client,
    ):
        assert client.get("order-1")
