"""Fuzzes what reads the requests of every method, and the texts that callers send back."""

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake.v1 import order_work_service_pb2 as work
from orderintake.work.outcome import CODE_CHARACTERS, RESULT_BYTES, Kind
from orderintake_server.api import requests, selections
from orderintake_server.api.decoding import decoded, reader
from orderintake_server.api.list_names import list_name
from orderintake_server.api.methods import SERVICES
from orderintake_server.api.work import requests as working
from orderintake_server.domain import NewOrder, Operator
from orderintake_server.errors import (
    CursorInvalid,
    CursorOtherLog,
    InvalidOrder,
    LeaseInvalid,
    OrderNotFound,
    Refusal,
)
from orderintake_server.ids import NEWEST, Ids
from orderintake_server.rework import Bulk, Section
from orderintake_server.telemetry import traces

T = TypeVar("T")

IDS = Ids("0a1b2c3d")
KINDS: list[type[Message]] = [
    GetMessageClass(method.input_type) for service in SERVICES for method in service.methods
]
"""What each method takes; the first byte of an input chooses among them."""
LIST_NAME = b"list"
WHO = Operator(name="boss", credential="key", peer="unix:")


def request(data: bytes) -> None:
    """Read a request of any method: as a message, then as what its endpoint asks of it."""
    kind = KINDS[data[0] % len(KINDS)] if data else KINDS[0]
    try:
        message = decoded(data[1:], reader(kind))
        READERS[kind](message)
    except Refusal as refusal:
        _check_told(refusal)


def _check_told(refusal: Refusal) -> None:
    """Check that what the caller is told is a text, and names no more fields than it may."""
    refusal.text.encode()
    violations = getattr(refusal, "violations", ())
    assert len(violations) <= 50
    for violation in violations:
        (violation.field + violation.description).encode()


def _place(message: api.PlaceOrderRequest) -> None:
    """Read an order; sent again in other bytes it is the same order, and so a replay."""
    again = api.PlaceOrderRequest.FromString(message.SerializeToString())
    order = requests.new_order(message)
    assert requests.new_order(again) == order
    _check_order(order)


def _batch(message: api.BatchPlaceOrdersRequest) -> None:
    for order in requests.new_orders(message):
        _check_order(order)


def _each(orders: list[api.PlaceOrderRequest | InvalidOrder]) -> None:
    """Read the orders of a message of PlaceOrders; each that is refused goes its own way."""
    assert 1 <= len(orders) <= requests.BATCH_ORDERS
    for order in orders:
        try:
            if isinstance(order, InvalidOrder):
                raise order
            _place(order)
        except InvalidOrder as refusal:
            _check_told(refusal)


def _check_order(order: NewOrder) -> None:
    """Check that an accepted order survives: read from its content it is the same."""
    stored = order_pb2.Order.FromString(order.content)
    assert stored.SerializeToString(deterministic=True) == order.content
    assert stored.customer_id == order.customer_id
    assert stored.tier == order.tier.value
    assert -(2**63) < order.not_before < 2**63
    assert -(2**63) < order.expire_time < 2**63


def _list_orders(message: api.ListOrdersRequest) -> None:
    requests.order_filter(message)
    requests.page_size(message)
    IDS.listed(message.page_token, list_name(message))


def _list_completions(message: api.ListCompletionsRequest) -> None:
    requests.completion_filter(message)
    requests.page_size(message)
    requests.read_from(message.page_token, IDS)


def _subscribe(message: api.StreamCompletionsRequest) -> None:
    asked = requests.subscribe(message, IDS)
    assert 1 <= asked.heartbeat_seconds <= 60
    assert 1 <= asked.limit <= requests.PAGE_MOST


def _actions(message: admin.ListOperatorActionsRequest) -> None:
    requests.page_size(message)
    IDS.action_before(message.page_token)
    if message.order_id:
        requests.accept_sequence(message, IDS)


def _failures(message: admin.ListFailuresRequest) -> None:
    requests.page_size(message)
    selections.failures(message, IDS)
    IDS.listed(message.page_token, list_name(message))


def _redrives(message: admin.RedriveOrdersRequest) -> None:
    section = Section(*IDS.section(message.page_token, list_name(message)))
    _check_bulk(selections.redrives(message, IDS, WHO, section))


def _cancels(message: admin.CancelOrdersRequest) -> None:
    section = Section(*IDS.section(message.page_token, list_name(message)))
    _check_bulk(selections.cancels(message, WHO, section))


def _check_bulk(bulk: Bulk) -> None:
    """Check what may be changed: no more than one call may, and what SQLite's integers hold."""
    assert 1 <= bulk.limit <= selections.BULK_ORDERS
    assert -(2**63) <= bulk.wanted.since < 2**63
    assert -(2**63) <= bulk.wanted.until < 2**63
    if bulk.wanted.has_labels:
        bulk.wanted.has_labels(b"")


def _named(message: Any) -> None:  # noqa: ANN401 - any request that names an order
    assert requests.accept_sequence(message, IDS) >= 0


def _lease(message: Any) -> None:  # noqa: ANN401 - a work.LeaseOrdersRequest
    asked = working.lease(message, IDS, None)
    assert 0 <= asked.wait <= working.WAIT_MOST
    for report in asked.reports:
        if (outcome := report.outcome) is not None:
            assert len(outcome.code) <= CODE_CHARACTERS
            assert len(outcome.result or b"") <= RESULT_BYTES
            assert outcome.code or outcome.kind is Kind.SUCCEEDED


def _keep(message: Any) -> None:  # noqa: ANN401 - a work.KeepLeasesRequest
    assert working.keep(message, IDS, None, wait=10.0).wait == working.WAIT_DEFAULT


READERS: dict[type[Message], Callable[[Any], object]] = {
    api.PlaceOrderRequest: _place,
    api.BatchPlaceOrdersRequest: _batch,
    api.PlaceOrdersRequest: _each,
    api.GetOrderRequest: _named,
    api.CancelOrderRequest: _named,
    api.ListOrdersRequest: _list_orders,
    api.ListCompletionsRequest: _list_completions,
    api.StreamCompletionsRequest: _subscribe,
    admin.GetQueueStatsRequest: lambda _: None,
    admin.PauseTierRequest: requests.tier,
    admin.ResumeTierRequest: requests.tier,
    admin.RedriveOrderRequest: _named,
    admin.ListOperatorActionsRequest: _actions,
    admin.ListFailuresRequest: _failures,
    admin.RedriveOrdersRequest: _redrives,
    admin.CancelOrdersRequest: _cancels,
    admin.ListServersRequest: lambda _: None,
    admin.ListSubscribersRequest: lambda _: None,
    admin.ListWorkersRequest: lambda _: None,
    work.LeaseOrdersRequest: _lease,
    work.KeepLeasesRequest: _keep,
    work.EndWorkerRequest: working.worker_id,
}
"""What each method asks of its message, as its endpoint does."""


def text(data: bytes) -> None:
    """Read a text that callers send back: what is taken is exactly what we write."""
    given = data.decode(errors="surrogateescape")
    _check_written(given, IDS.accept_sequence, IDS.order_id, OrderNotFound)
    _check_written(given, IDS.lease_key, IDS.lease, LeaseInvalid)
    _check_written(given, IDS.sequence, IDS.cursor, CursorInvalid, CursorOtherLog)
    _check_written(
        given,
        lambda token: IDS.listed(token, LIST_NAME),
        lambda sequence: IDS.page_token(sequence, LIST_NAME) if sequence or given else "",
        CursorInvalid,
    )
    _check_written(
        given,
        IDS.action_before,
        lambda sequence: "" if sequence == NEWEST and not given else IDS.action_token(sequence),
        CursorInvalid,
    )


def _check_written(
    given: str,
    read: Callable[[str], T],
    write: Callable[[T], str],
    *refusals: type[Refusal],
) -> None:
    try:
        found = read(given)
    except refusals:
        return
    assert write(found) == given


def traceparent(data: bytes) -> None:
    """Read a trace context: what is taken is 25 bytes, and reads the same when written."""
    found = traces.read(data.decode("latin-1"))
    if found is not None:
        assert len(found) == 25
        assert traces.read(traces.written(found)) == found


def request_seeds() -> list[bytes]:
    """Give a good request of each kind, and some that are at a limit."""
    order = api.PlaceOrderRequest(request_id="r", customer_id="ada", tier=order_pb2.TIER_VIP)
    order.lines.add(sku="tea", quantity=2)
    order.labels["table"] = "7"
    order.payload.type_url, order.payload.value = "type.googleapis.com/x", b"\x01"
    order.not_before.seconds, order.expire_time.seconds = 1_800_000_000, 1_900_000_000
    failures = admin.FailureFilter(codes=["A"], customer_id="ada", order_ids=[IDS.order_id(7)])
    failures.ended_after.seconds, failures.ended_before.seconds = 1_800_000_000, 1_900_000_000
    messages: list[Message] = [
        order,
        api.BatchPlaceOrdersRequest(requests=[order, order]),
        api.PlaceOrdersRequest(orders=[order, order]),
        api.GetOrderRequest(order_id=IDS.order_id(7)),
        api.GetOrderRequest(accept_sequence=7),
        api.CancelOrderRequest(order_id=IDS.order_id(7)),
        api.ListOrdersRequest(customer_id="ada", tier=order_pb2.TIER_VIP, page_size=10),
        api.ListCompletionsRequest(page_token=IDS.cursor(7), page_size=10),
        api.StreamCompletionsRequest(after_cursor=IDS.cursor(7), max_batch_size=7),
        api.StreamCompletionsRequest(
            start_at=api.START_AT_LATEST, heartbeat_interval=Duration(nanos=7)
        ),
        admin.PauseTierRequest(tier=order_pb2.TIER_VIP),
        admin.ResumeTierRequest(tier=order_pb2.TIER_REGULAR),
        admin.RedriveOrderRequest(order_id=IDS.order_id(7)),
        admin.ListOperatorActionsRequest(page_token=IDS.action_token(7), page_size=10),
        admin.ListFailuresRequest(filter=failures, page_size=10),
        admin.RedriveOrdersRequest(request_id="r", filter=failures, max_orders=10),
        admin.RedriveOrdersRequest(all=True),
        admin.CancelOrdersRequest(
            filter=admin.WaitingFilter(tier=order_pb2.TIER_VIP, labels={"table": "7"})
        ),
    ]
    return [
        bytes([KINDS.index(type(message))]) + message.SerializeToString() for message in messages
    ]


def text_seeds() -> list[bytes]:
    """Give a text of each kind, and some of another store."""
    other = Ids("ffffffff")
    texts = [
        *("", IDS.order_id(1), IDS.cursor(0), IDS.cursor(2**63), IDS.page_token(7, LIST_NAME)),
        *(IDS.action_token(7), other.order_id(1), other.cursor(1), other.page_token(1, b"x")),
    ]
    return [each.encode() for each in texts]


def traceparent_seeds() -> list[bytes]:
    """Give trace contexts of this version, of a later one, and of none."""
    ids = f"{'ab' * 16}-{'cd' * 8}"
    return [f"00-{ids}-01".encode(), f"01-{ids}-00-more".encode(), f"ff-{ids}-00".encode()]
