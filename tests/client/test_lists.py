"""Lists come in pages, which nobody sees; and what else both clients ask."""

from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from typing import Any

import grpc
import pytest

import orderintake
from client.fake_server import UNAVAILABLE, FakeServer, Refusal
from orderintake import REGULAR, VIP, State
from orderintake.pages import Pages
from orderintake.v1 import order_intake_service_pb2 as api

Connect = Callable[..., Any]

LATER = Refusal(code=grpc.StatusCode.UNAVAILABLE, pushback_ms=1)


def test_orders_come_from_all_pages_with_the_same_filters(
    server: FakeServer, connect: Connect
) -> None:
    with connect(server.target) as client:
        found = list(client.orders(customer_id="ada", tier=VIP, state=State.STATE_QUEUED))
    assert [order.order_id for order in found] == [f"order-{number}" for number in range(1, 6)]
    asked = server.servicer.requests
    assert [request.page_token for request in asked] == ["", "c2", "c4"]
    for request in asked:
        request.page_token = ""
    assert asked == 3 * [
        api.ListOrdersRequest(customer_id="ada", tier=VIP, state=State.STATE_QUEUED)
    ]


def test_the_newest_come_first_when_asked(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        newest = client.orders(newest_first=True)
        assert [next(newest).order_id for _ in range(2)] == ["order-5", "order-4"]
    assert [request.newest_first for request in server.servicer.requests] == [True]


def test_a_page_is_fetched_when_it_is_needed(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        orders = client.orders()
        assert server.servicer.requests == []
        assert len(list(islice(orders, 2))) == 2
        assert len(server.servicer.requests) == 1
        assert next(orders).order_id == "order-3"
    assert len(server.servicer.requests) == 2


def test_the_size_of_a_page_can_be_chosen(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        assert len(list(client.orders(page_size=5))) == 5
    assert len(server.servicer.requests) == 1


def test_completions_so_far_are_listed_to_their_end(server: FakeServer, connect: Connect) -> None:
    server.servicer.complete(5)
    with connect(server.target) as client:
        found = list(client.list_completions(after="c1", customer_id="ada", tier=REGULAR))
    assert [completion.sequence for completion in found] == [2, 3, 4, 5]
    assert [
        (each.page_token, each.customer_id, each.tier) for each in server.servicer.requests
    ] == [
        ("c1", "ada", REGULAR),
        ("c3", "ada", REGULAR),
    ]


def test_an_empty_list_ends_at_once(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        assert list(client.list_completions()) == []
    assert len(server.servicer.requests) == 1


@pytest.mark.parametrize("listing", ["orders", "list_completions"])
def test_a_page_is_retried_and_a_refusal_is_raised_where_it_is_met(
    server: FakeServer, connect: Connect, listing: str
) -> None:
    server.servicer.complete(3)
    server.servicer.endings += [LATER, UNAVAILABLE]
    with connect(server.target) as client:
        items = getattr(client, listing)()
        with pytest.raises(orderintake.Unavailable):
            next(items)
    assert len(server.servicer.requests) == 2


@pytest.mark.parametrize("listing", ["orders", "list_completions"])
def test_what_cannot_be_asked_is_said_before_anything_is(
    server: FakeServer, connect: Connect, listing: str
) -> None:
    client = connect(server.target)
    with pytest.raises(RuntimeError, match="with"):
        _begin(client, listing)
    with client, pytest.raises(ValueError, match="range"):
        _begin(client, listing, page_size=2**31)
    assert server.servicer.requests == []


def _begin(client: Any, listing: str, **filters: Any) -> None:  # noqa: ANN401 - either client
    getattr(client, listing)(**filters)


def test_a_page_that_leads_to_itself_breaks_the_contract() -> None:
    pages = Pages(api.ListOrdersRequest())
    pages.received(api.ListOrdersResponse(next_page_token="t"))  # noqa: S106 - no password
    with pytest.raises(orderintake.ContractBroken, match="itself"):
        pages.received(api.ListOrdersResponse(next_page_token="t"))  # noqa: S106 - as above
    assert not pages.ended


def test_an_order_is_cancelled(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        response = client.cancel("CANCEL_REQUESTED")
    assert response.outcome == orderintake.CancelOutcome.CANCEL_OUTCOME_CANCEL_REQUESTED


def test_operators_are_heard_and_retried(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        server.servicer.endings.append(LATER)
        assert [each.tier for each in client.queue_stats().tiers] == [VIP, REGULAR]
        server.servicer.endings.append(LATER)
        client.pause_tier(VIP)
        server.servicer.endings.append(LATER)
        client.resume_tier(REGULAR)
        server.servicer.endings.append(LATER)
        copy = client.redrive("order-1")
    assert copy.order.redrive_of == "order-1"
    asked = [type(request).__name__ for request in server.servicer.requests]
    assert asked == [
        name
        for name in (
            "GetQueueStatsRequest",
            "PauseTierRequest",
            "ResumeTierRequest",
            "RedriveOrderRequest",
        )
        for _ in range(2)
    ]
    assert (server.servicer.requests[2].tier, server.servicer.requests[4].tier) == (VIP, REGULAR)


def test_what_operators_did_is_iterated_over_page_by_page(
    server: FakeServer, connect: Connect
) -> None:
    with connect(server.target) as client:
        server.servicer.endings.append(LATER)
        found = [each.sequence for each in client.operator_actions(order_id="order-1")]
        with pytest.raises(ValueError, match="range"):
            client.operator_actions(page_size=2**31)
    assert found == [5, 4, 3, 2, 1]
    asked = server.servicer.requests
    assert [request.page_token for request in asked] == ["", "", "c2", "c4"]
    assert {request.order_id for request in asked} == {"order-1"}


def test_operators_need_an_open_client_too(server: FakeServer, connect: Connect) -> None:
    client = connect(server.target)
    with pytest.raises(RuntimeError, match="with"):
        client.queue_stats()
    with pytest.raises(RuntimeError, match="with"):
        client.operator_actions()
    with client:
        assert client.queue_stats().workers == 8


def test_failures_come_from_all_pages_with_the_same_filters(
    server: FakeServer, connect: Connect
) -> None:
    hour = timedelta(hours=-1)
    with connect(server.target) as client:
        server.servicer.endings.append(LATER)
        found = list(client.failures(codes=["A", "B"], labels={"for": "ada"}, ended_after=hour))
    assert [failed.completion.sequence for failed in found] == [5, 4, 3, 2, 1]
    asked = server.servicer.requests
    assert [request.page_token for request in asked] == ["", "", "c2", "c4"]
    for request in asked:
        assert (request.filter.codes, request.filter.labels) == (["A", "B"], {"for": "ada"})
        assert request.filter.ended_after.seconds == asked[0].filter.ended_after.seconds
        assert not request.filter.HasField("ended_before")


def test_the_first_failures_come_with_how_many_there_are(
    server: FakeServer, connect: Connect
) -> None:
    with connect(server.target) as client:
        page = client.first_failures(page_size=1, include_redriven=True, tier=VIP)
    assert (len(page.failures), page.counts[0].count) == (1, 5)
    (asked,) = server.servicer.requests
    assert (asked.include_redriven, asked.filter.tier) == (True, VIP)


@pytest.mark.parametrize("call", ["redrive_orders", "cancel_orders"])
def test_a_call_for_many_orders_is_repeated_with_the_request_id_that_it_was_given(
    server: FakeServer, connect: Connect, call: str
) -> None:
    with connect(server.target) as client:
        server.servicer.endings.append(LATER)
        done = getattr(client, call)(customer_id="ada")
        getattr(client, call)(
            **{"all_failures" if call == "redrive_orders" else "all_waiting": True},
            request_id="mine",
            max_orders=9,
            page_token=done.next_page_token,
        )
    first, again, last = server.servicer.requests
    assert first == again
    assert len(first.request_id) == 32
    assert (first.filter.customer_id, first.all) == ("ada", False)
    assert (last.request_id, last.all, last.max_orders, last.page_token) == ("mine", True, 9, "c2")


def test_who_serves_and_who_reads_is_told(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        assert [each.name for each in client.servers().servers] == ["shop-1:7", "shop-2:9"]
        assert client.subscribers().total == 2
        assert client.workers().workers[1].attempts[0].order_id == "order-7"


@pytest.mark.parametrize(
    ("filters", "error", "named"),
    [
        ({"codes": "SOLD_OUT"}, TypeError, "codes"),
        ({"codes": 7}, TypeError, "codes"),
        ({"codes": ["A", 7]}, TypeError, r"codes\[1\]"),
        ({"order_ids": ["\ud800"]}, ValueError, r"order_ids\[0\]"),
        ({"order_ids": ()}, ValueError, "order_ids"),
        ({"labels": {"a": 1}}, TypeError, "labels"),
        ({"ended_after": "now"}, TypeError, "ended_after"),
        ({"tier": 2**40}, ValueError, "tier"),
    ],
)
def test_a_filter_that_cannot_be_sent_is_said_before_anything_is(
    server: FakeServer,
    connect: Connect,
    filters: Any,  # noqa: ANN401 - whatever somebody gives
    error: type[Exception],
    named: str,
) -> None:
    with connect(server.target) as client:
        for call in (client.failures, client.redrive_orders):
            with pytest.raises(error, match=named):
                call(**filters)
    assert server.servicer.requests == []
