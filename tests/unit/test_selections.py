"""Which orders a request selects: bad fields are named, and nothing widens what is meant."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_pb2
from orderintake_server.api import selections
from orderintake_server.api.list_names import list_name
from orderintake_server.api.selections import Labelled
from orderintake_server.domain import Tier
from orderintake_server.errors import InvalidOrder
from orderintake_server.ids import Ids
from orderintake_server.rework import Section
from orderintake_server.views import NEVER, Selection
from support.changes import BOSS

IDS = Ids("0badcafe")
WHOLE = Section()
LATE = Timestamp(seconds=2**40)
FIELD = b"\x9a\x06\x01x"
"""A text of field 99, which no filter has."""


READERS: dict[type[Any], Callable[[Any], object]] = {
    admin.ListFailuresRequest: lambda request: selections.failures(request, IDS),
    admin.RedriveOrdersRequest: lambda request: selections.redrives(request, IDS, BOSS, WHOLE),
    admin.CancelOrdersRequest: lambda request: selections.cancels(request, BOSS, WHOLE),
}


def redriving(**filters: Any) -> Selection:  # noqa: ANN401 - as the filter's
    request = admin.RedriveOrdersRequest(filter=admin.FailureFilter(**filters))
    return selections.redrives(request, IDS, BOSS, WHOLE).wanted


def bad(request: Any) -> list[str]:  # noqa: ANN401 - any of three requests
    """Name the bad fields of a request."""
    with pytest.raises(InvalidOrder) as caught:
        READERS[type(request)](request)
    return [each.field for each in caught.value.violations]


def test_an_empty_filter_lists_everything_and_changes_nothing() -> None:
    assert selections.failures(admin.ListFailuresRequest(), IDS) == Selection()
    assert bad(admin.RedriveOrdersRequest()) == ["filter"]
    assert bad(admin.CancelOrdersRequest(filter=admin.WaitingFilter())) == ["filter"]
    bulk = selections.redrives(admin.RedriveOrdersRequest(all=True), IDS, BOSS, Section(7, 9))
    assert (bulk.wanted, bulk.section, bulk.limit) == (Selection(), Section(7, 9), 1000)
    assert bulk.by == BOSS
    assert (
        selections.cancels(admin.CancelOrdersRequest(all=True), BOSS, WHOLE).wanted == Selection()
    )


def test_every_field_of_a_filter_is_read() -> None:
    wanted = redriving(
        codes=["A", "B", "A"],
        tier=order_pb2.TIER_VIP,
        customer_id="ada",
        ended_after=Timestamp(seconds=2),
        ended_before=Timestamp(seconds=3, nanos=5_000),
        order_ids=[IDS.order_id(7), "no order's", Ids("deadbeef").order_id(1)],
    )
    assert wanted == Selection(
        codes=("A", "B"),
        tier=Tier.VIP,
        customer_id="ada",
        since=2_000_000,
        until=3_000_005,
        numbers=(7,),
    )
    request = admin.CancelOrdersRequest(
        filter=admin.WaitingFilter(accepted_after=Timestamp(seconds=2)), max_orders=5
    )
    bulk = selections.cancels(request, BOSS, WHOLE)
    assert (bulk.wanted, bulk.limit) == (Selection(since=2_000_000, until=NEVER), 5)


def test_order_ids_of_which_none_is_known_match_nothing() -> None:
    assert redriving(order_ids=["?"]).numbers == ()
    assert redriving(customer_id="ada").numbers is None


def test_every_bad_field_is_named() -> None:
    wanted = admin.FailureFilter(
        codes=["", "A" * 65, *["B"] * 19],
        tier=order_pb2.Tier.ValueType(9),
        customer_id="a\n",
        labels={"": "x"},
        ended_after=LATE,
        ended_before=Timestamp(nanos=-1),
        order_ids=["?"] * 1001,
    )
    fields = [
        *("customer_id", "tier", "labels['']", "ended_after", "ended_before"),
        *("codes", "codes[0]", "codes[1]", "order_ids"),
    ]
    for request in (
        admin.ListFailuresRequest(filter=wanted),
        admin.RedriveOrdersRequest(filter=wanted),
    ):
        assert bad(request) == [f"filter.{field}" for field in fields]
    waiting = admin.WaitingFilter(tier=order_pb2.Tier.ValueType(9), accepted_before=LATE)
    request_ = admin.CancelOrdersRequest(request_id="\n", filter=waiting, max_orders=-1)
    assert bad(request_) == ["request_id", "max_orders", "filter.tier", "filter.accepted_before"]


@pytest.mark.parametrize(
    "kind", [admin.ListFailuresRequest, admin.RedriveOrdersRequest, admin.CancelOrdersRequest]
)
def test_a_filter_of_a_later_version_is_refused_for_more_would_match(kind: type[Any]) -> None:
    request = kind()
    request.filter.customer_id = "ada"
    request.filter.MergeFromString(FIELD)
    assert bad(request) == ["filter"]


def test_a_page_token_fits_one_list_only() -> None:
    wanted = admin.FailureFilter(customer_id="ada")
    requests = [
        admin.ListFailuresRequest(),
        admin.ListFailuresRequest(filter=wanted),
        admin.ListFailuresRequest(filter=wanted, include_redriven=True),
        admin.RedriveOrdersRequest(filter=wanted),
        admin.CancelOrdersRequest(filter=admin.WaitingFilter(customer_id="ada")),
    ]
    assert len({list_name(request) for request in requests}) == len(requests)
    same = admin.RedriveOrdersRequest(
        filter=wanted,
        request_id="r",
        all=True,
        max_orders=9,
        page_token="t",  # noqa: S106
    )
    assert list_name(same) == list_name(requests[3])


def test_labels_are_found_in_an_orders_content_only_where_they_are_its_labels() -> None:
    has_labels = Labelled({"colour": "red", "size": ""})
    both = order_pb2.Order(labels={"colour": "red", "size": "", "more": "x"})
    one = order_pb2.Order(labels={"colour": "red"})
    other = order_pb2.Order(labels={"colour": "redder", "size": ""})
    assert has_labels(both.SerializeToString(deterministic=True))
    assert not has_labels(one.SerializeToString())
    assert not has_labels(other.SerializeToString())
    hidden = order_pb2.Order()
    hidden.payload.value = both.SerializeToString(deterministic=True)
    assert not has_labels(hidden.SerializeToString())
