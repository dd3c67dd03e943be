"""Batches, subscriptions, pages and look-ups at the door."""

from typing import Any

import pytest
from google.protobuf import duration_pb2

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.api import requests
from orderintake_server.domain import State, Tier
from orderintake_server.errors import CursorInvalid, CursorOtherLog, InvalidOrder, OrderNotFound
from orderintake_server.ids import Ids
from orderintake_server.views import OrderFilter, ReadFrom, StartAt, Subscribe
from support.orders import order

IDS = Ids("0123abcd")
LATER: Any = 7
"""A value that a later version of an enum may have."""


def _bad_fields(batch: api.BatchPlaceOrdersRequest) -> list[str]:
    with pytest.raises(InvalidOrder) as refused:
        requests.new_orders(batch)
    return [violation.field for violation in refused.value.violations]


def _batch(*orders: api.PlaceOrderRequest) -> api.BatchPlaceOrdersRequest:
    return api.BatchPlaceOrdersRequest(requests=orders)


def test_a_batch_is_read_in_its_order() -> None:
    read = requests.new_orders(_batch(order("a"), order("b", vip=True), order("c")))
    contents = [order_pb2.Order.FromString(one.content) for one in read]
    assert [content.lines[0].sku for content in contents] == ["a", "b", "c"]


@pytest.mark.parametrize("count", [1, 1000])
def test_a_batch_of_a_thousand_is_taken(count: int) -> None:
    assert len(requests.new_orders(_batch(*[order()] * count))) == count


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_of_none_or_too_many_is_refused(count: int) -> None:
    assert _bad_fields(_batch(*[order()] * count)) == ["requests"]


def _large_batch(size: int) -> api.BatchPlaceOrdersRequest:
    batch = _batch(*[order() for _ in range(1000)])
    each = (size - batch.ByteSize()) // 1000 - 20
    for request in batch.requests:
        request.payload.type_url = "a"
        request.payload.value = b"x" * each
    batch.requests[0].payload.value += b"x" * (size - batch.ByteSize() - 4)
    batch.requests[0].payload.value += b"x" * (size - batch.ByteSize())
    assert batch.ByteSize() == size
    return batch


def test_a_batch_at_its_limit_of_bytes_is_taken_and_a_byte_more_refused() -> None:
    assert len(requests.new_orders(_large_batch(requests.BATCH_BYTES))) == 1000
    assert _bad_fields(_large_batch(requests.BATCH_BYTES + 1)) == ["requests"]


def test_bad_fields_of_all_orders_of_a_batch_are_named_at_once() -> None:
    batch = _batch(order(), order(), order(customer_id="", request_id="r" * 129), order(""))
    batch.requests[1].tier = LATER
    assert _bad_fields(batch) == [
        "requests[1].tier",
        "requests[2].request_id",
        "requests[2].customer_id",
        "requests[3].lines[0].sku",
    ]


def test_an_order_too_large_is_named_by_its_place_in_the_batch() -> None:
    large = order()
    large.payload.type_url = "a"
    large.payload.value = b"x" * 65_536
    assert _bad_fields(_batch(order(), large)) == ["requests[1]"]


def test_no_more_than_fifty_fields_of_a_batch_are_named() -> None:
    batch = _batch(*[order("", customer_id="", request_id="\n") for _ in range(20)])
    bad = _bad_fields(batch)
    assert len(bad) == 50
    assert bad[-1] == "requests[16].customer_id"


def _subscribe(request: api.StreamCompletionsRequest) -> Subscribe:
    return requests.subscribe(request, IDS)


def test_a_subscription_begins_at_the_earliest_unless_told_otherwise() -> None:
    assert _subscribe(api.StreamCompletionsRequest()) == Subscribe(
        wanted=OrderFilter(), start=StartAt.EARLIEST, limit=100, heartbeat_seconds=5.0
    )


@pytest.mark.parametrize(
    ("told", "start"),
    [
        ({"after_cursor": ""}, StartAt.EARLIEST),
        ({"after_cursor": IDS.cursor(7)}, 7),
        ({"start_at": api.START_AT_UNSPECIFIED}, StartAt.EARLIEST),
        ({"start_at": api.START_AT_EARLIEST}, StartAt.EARLIEST),
        ({"start_at": api.START_AT_LATEST}, StartAt.LATEST),
    ],
    ids=str,
)
def test_a_subscription_begins_where_it_is_told(told: Any, start: ReadFrom) -> None:  # noqa: ANN401
    assert _subscribe(api.StreamCompletionsRequest(**told)).start == start


@pytest.mark.parametrize(("asked", "limit"), [(0, 100), (1, 1), (1000, 1000)])
def test_a_batch_size_is_taken_as_asked(asked: int, limit: int) -> None:
    assert _subscribe(api.StreamCompletionsRequest(max_batch_size=asked)).limit == limit


@pytest.mark.parametrize(
    ("seconds", "nanos", "taken"),
    [
        (0, 0, 5.0),
        (0, 1, 1.0),
        (0, 999_999_999, 1.0),
        (1, 0, 1.0),
        (2, 500_000_000, 2.5),
        (60, 0, 60.0),
        (60, 1, 60.0),
        (315_576_000_000, 0, 60.0),
    ],
)
def test_a_heartbeat_is_between_a_second_and_a_minute(
    seconds: int, nanos: int, taken: float
) -> None:
    asked = duration_pb2.Duration(seconds=seconds, nanos=nanos)
    read = _subscribe(api.StreamCompletionsRequest(heartbeat_interval=asked))
    assert read.heartbeat_seconds == taken


def test_every_bad_field_of_a_subscription_is_named_at_once() -> None:
    request = api.StreamCompletionsRequest(
        start_at=LATER,
        max_batch_size=1001,
        heartbeat_interval=duration_pb2.Duration(nanos=-1),
    )
    with pytest.raises(InvalidOrder) as refused:
        _subscribe(request)
    fields = [violation.field for violation in refused.value.violations]
    assert sorted(fields) == ["heartbeat_interval", "max_batch_size", "start_at"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_batch_size", -1),
        ("heartbeat_interval", duration_pb2.Duration(seconds=-1)),
        ("heartbeat_interval", duration_pb2.Duration(seconds=315_576_000_001)),
    ],
    ids=str,
)
def test_what_is_just_beyond_a_limit_is_refused(field: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidOrder) as refused:
        _subscribe(api.StreamCompletionsRequest(**{field: value}))
    assert [violation.field for violation in refused.value.violations] == [field]


def test_p17_a_bad_cursor_is_no_place_to_begin() -> None:
    with pytest.raises(CursorInvalid):
        _subscribe(api.StreamCompletionsRequest(after_cursor="nonsense"))
    with pytest.raises(CursorOtherLog):
        _subscribe(api.StreamCompletionsRequest(after_cursor=Ids("ffffffff").cursor(1)))


PAGES = [api.ListCompletionsRequest, api.ListOrdersRequest]


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize(("asked", "size"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000)])
def test_a_page_is_as_long_as_asked_but_no_longer_than_a_thousand(
    kind: Any,  # noqa: ANN401
    asked: int,
    size: int,
) -> None:
    assert requests.page_size(kind(page_size=asked)) == size


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_cannot_be_shorter_than_nothing(kind: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidOrder) as refused:
        requests.page_size(kind(page_size=-1))
    assert [violation.field for violation in refused.value.violations] == ["page_size"]


def test_without_filter_everything_is_wanted() -> None:
    assert requests.order_filter(api.ListOrdersRequest()) == OrderFilter()
    assert requests.completion_filter(api.ListCompletionsRequest()) == OrderFilter()


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("tier", Tier)
def test_a_filter_is_read_as_it_is_asked(tier: Tier, state: State) -> None:
    asked: dict[str, Any] = {"customer_id": "ada", "tier": int(tier)}
    wanted = OrderFilter(customer_id="ada", tier=tier)
    assert requests.completion_filter(api.ListCompletionsRequest(**asked)) == wanted
    wanted = OrderFilter(customer_id="ada", tier=tier, state=state)
    listed = api.ListOrdersRequest(state=order_pb2.State.ValueType(state), **asked)
    assert requests.order_filter(listed) == wanted


@pytest.mark.parametrize(
    ("read", "request_", "field"),
    [
        (requests.order_filter, api.ListOrdersRequest(tier=LATER), "tier"),
        (requests.order_filter, api.ListOrdersRequest(state=LATER + 1), "state"),
        (requests.completion_filter, api.ListCompletionsRequest(tier=LATER), "tier"),
        (requests.tier, admin.PauseTierRequest(tier=LATER), "tier"),
        (requests.tier, admin.PauseTierRequest(), "tier"),
        (requests.tier, admin.ResumeTierRequest(), "tier"),
    ],
    ids=["orders by tier", "orders by state", "completions", "another tier", "pause", "resume"],
)
def test_what_this_version_does_not_know_is_refused_by_its_name(
    read: Any,  # noqa: ANN401
    request_: Any,  # noqa: ANN401
    field: str,
) -> None:
    with pytest.raises(InvalidOrder) as refused:
        read(request_)
    assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize("text", ["a\x00", "\n", "\u202e", "x" * 129])
@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (requests.order_filter, api.ListOrdersRequest),
        (requests.completion_filter, api.ListCompletionsRequest),
        (lambda request: requests.subscribe(request, IDS), api.StreamCompletionsRequest),
    ],
    ids=["orders", "completions", "stream"],
)
def test_a_filter_is_checked_as_the_field_it_filters_by(read: Any, kind: Any, text: str) -> None:  # noqa: ANN401
    with pytest.raises(InvalidOrder) as refused:
        read(kind(customer_id=text, tier=LATER))
    assert [violation.field for violation in refused.value.violations] == ["customer_id", "tier"]


@pytest.mark.parametrize("kind", [admin.PauseTierRequest, admin.ResumeTierRequest])
def test_a_tier_is_paused_or_resumed_by_its_name(kind: Any) -> None:  # noqa: ANN401
    assert requests.tier(kind(tier=order_pb2.TIER_VIP)) is Tier.VIP
    assert requests.tier(kind(tier=order_pb2.TIER_REGULAR)) is Tier.REGULAR


def test_an_empty_place_is_the_beginning_of_the_log_wherever_that_is() -> None:
    assert requests.read_from("", IDS) is StartAt.EARLIEST
    assert requests.read_from(IDS.cursor(0), IDS) == 0


def test_an_order_is_looked_up_by_its_number_instead_of_its_id() -> None:
    assert requests.accept_sequence(api.GetOrderRequest(accept_sequence=7), IDS) == 7
    for bad in (
        api.GetOrderRequest(accept_sequence=-1),
        api.GetOrderRequest(accept_sequence=7, order_id=IDS.order_id(7)),
    ):
        with pytest.raises(InvalidOrder) as refused:
            requests.accept_sequence(bad, IDS)
        assert [violation.field for violation in refused.value.violations] == ["accept_sequence"]


@pytest.mark.parametrize(
    "kind", [api.GetOrderRequest, api.CancelOrderRequest, admin.RedriveOrderRequest]
)
def test_an_order_is_looked_up_by_a_name(kind: Any) -> None:  # noqa: ANN401
    assert requests.accept_sequence(kind(order_id=IDS.order_id(7)), IDS) == 7
    with pytest.raises(OrderNotFound):
        requests.accept_sequence(kind(order_id="x"), IDS)
    with pytest.raises(InvalidOrder) as refused:
        requests.accept_sequence(kind(), IDS)
    assert [violation.field for violation in refused.value.violations] == ["order_id"]
