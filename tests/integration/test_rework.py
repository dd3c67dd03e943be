"""Failed orders are work, and many that wait are cancelled: as callers see it, by a channel."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.handlers import OrderAttempt, Reject
from support.in_process import Stub, completions, listening, read
from support.orders import order
from support.refusals import refusal_of

LATER = datetime(2126, 1, 1, tzinfo=UTC)


class Desk:
    """A server whose handler rejects some articles, and both of its services."""

    def __init__(self, stub: Stub, admin_stub: Any) -> None:  # noqa: ANN401 - generated
        self.intake = stub
        self.admin = admin_stub
        self.sold_out = {"cake"}

    async def handle(self, attempt: OrderAttempt) -> None:
        (line,) = attempt.lines
        if line.sku in self.sold_out:
            raise Reject("SOLD_OUT", f"no more {line.sku}")

    async def place(self, sku: str, **fields: Any) -> str:  # noqa: ANN401 - as the order's
        request = order(sku)
        request.MergeFrom(api.PlaceOrderRequest(**fields))
        return (await self.intake.PlaceOrder(request)).order.order_id

    async def left(self, **asked: Any) -> list[str]:  # noqa: ANN401 - as the request's
        page = await self.admin.ListFailures(admin.ListFailuresRequest(**asked))
        return [failed.completion.order.order_id for failed in page.failures]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk at work."""
    found: list[Desk] = []

    async def handle(attempt: OrderAttempt) -> None:
        await found[0].handle(attempt)

    async with (
        listening(tmp_path, handler=handle) as (address, stub),
        grpc.aio.insecure_channel(address) as channel,
    ):
        found.append(Desk(stub, admin_grpc.OrderAdminServiceStub(channel)))
        yield found[0]


async def test_what_failed_is_listed_redriven_by_code_and_ends_well(desk: Desk) -> None:
    good = await desk.place("tea")
    bad = [await desk.place("cake", labels={"for": name}) for name in ("ada", "bob")]
    await completions(desk.intake, 3)
    page = await desk.admin.ListFailures(admin.ListFailuresRequest())
    assert [failed.completion.order.order_id for failed in page.failures] == bad[::-1]
    assert good not in bad
    newest = page.failures[0].completion
    assert (newest.failure.code, newest.failure.message) == ("SOLD_OUT", "no more cake")
    assert newest.order.state == order_pb2.STATE_FAILED
    assert newest.HasField("order")
    assert newest.order.complete_time.seconds > 0
    assert [(each.code, each.count) for each in page.counts] == [("SOLD_OUT", 2)]
    assert not page.counts_are_partial
    wanted = admin.FailureFilter(labels={"for": "bob"})
    assert await desk.left(filter=wanted) == [bad[1]]

    desk.sold_out.clear()
    asked = admin.RedriveOrdersRequest(
        request_id="call-1", filter=admin.FailureFilter(codes=["SOLD_OUT"]), max_orders=1
    )
    done = await desk.admin.RedriveOrders(asked)
    assert (done.redriven, done.replayed, bool(done.next_page_token)) == (1, False, True)
    assert await desk.left() == [bad[1]]
    again = await desk.admin.RedriveOrders(asked)
    assert (again.redriven, again.replayed) == (1, True)
    asked.request_id, asked.page_token = "call-2", again.next_page_token
    rest = await desk.admin.RedriveOrders(asked)
    assert (rest.redriven, rest.next_page_token) == (1, "")
    assert await desk.left() == []
    ends = await completions(desk.intake, 5)
    assert [end.order.redrive_of for end in ends[3:]] == bad
    assert {end.order.state for end in ends[3:]} == {order_pb2.STATE_SUCCEEDED}


async def test_what_was_redriven_tells_of_its_copy_and_who_did_it(desk: Desk) -> None:
    bad = [await desk.place("cake") for _ in range(2)]
    await completions(desk.intake, 2)
    desk.sold_out.clear()
    for request_id in ("call-1", "call-2"):
        await desk.admin.RedriveOrders(
            admin.RedriveOrdersRequest(request_id=request_id, all=True, max_orders=1)
        )
    ends = await completions(desk.intake, 4)
    page = await desk.admin.ListFailures(admin.ListFailuresRequest(include_redriven=True))
    copies = [end.order.order_id for end in ends[2:]]
    assert [failed.copy_order_id for failed in page.failures] == copies[::-1]
    actions = (await desk.admin.ListOperatorActions(admin.ListOperatorActionsRequest())).actions
    assert [(each.order_id, each.request_id) for each in actions] == [
        (bad[1], "call-2"),
        (bad[0], "call-1"),
    ]


async def test_many_that_wait_are_cancelled_by_one_call(desk: Desk) -> None:
    later = {"not_before": LATER, "customer_id": "bob"}
    bobs = [await desk.place("tea", **later) for _ in range(3)]
    adas = await desk.place("tea", not_before=LATER)
    asked = admin.CancelOrdersRequest(
        request_id="call-1", filter=admin.WaitingFilter(customer_id="bob"), max_orders=2
    )
    done = await desk.admin.CancelOrders(asked)
    assert (done.cancelled, done.replayed) == (2, False)
    again = await desk.admin.CancelOrders(asked)
    assert (again.cancelled, again.replayed) == (2, True)
    asked.request_id, asked.page_token = "", done.next_page_token
    rest = await desk.admin.CancelOrders(asked)
    assert (rest.cancelled, rest.next_page_token) == (1, "")
    ends = await completions(desk.intake, 3)
    assert [end.order.order_id for end in ends] == bobs
    assert {end.order.state for end in ends} == {order_pb2.STATE_CANCELLED}
    stands = await desk.intake.GetOrder(api.GetOrderRequest(order_id=adas))
    assert stands.order.state == order_pb2.STATE_SCHEDULED


async def test_p4_nothing_is_changed_by_a_filter_that_is_empty_or_bad(desk: Desk) -> None:
    waiting = await desk.place("tea", not_before=LATER)
    for asked in (
        admin.CancelOrdersRequest(),
        admin.CancelOrdersRequest(filter=admin.WaitingFilter(customer_id="\n")),
    ):
        assert (await refusal_of(desk.admin.CancelOrders(asked))).reason == "INVALID_ORDER"
    assert (
        await refusal_of(desk.admin.RedriveOrders(admin.RedriveOrdersRequest()))
    ).reason == "INVALID_ORDER"
    assert (
        await refusal_of(desk.admin.ListFailures(admin.ListFailuresRequest(page_size=-1)))
    ).reason == "INVALID_ORDER"
    stands = await desk.intake.GetOrder(api.GetOrderRequest(order_id=waiting))
    assert stands.order.state == order_pb2.STATE_SCHEDULED
    done = await desk.admin.CancelOrders(admin.CancelOrdersRequest(all=True))
    assert done.cancelled == 1


async def test_a_page_token_of_another_list_is_refused(desk: Desk) -> None:
    for _ in range(2):
        await desk.place("cake")
    await completions(desk.intake, 2)
    first = await desk.admin.ListFailures(admin.ListFailuresRequest(page_size=1))
    asked = admin.ListFailuresRequest(page_size=5, page_token=first.next_page_token)
    second = await desk.admin.ListFailures(asked)
    assert (len(second.failures), second.next_page_token, len(second.counts)) == (1, "", 0)
    asked.include_redriven = True
    assert (await refusal_of(desk.admin.ListFailures(asked))).reason == "CURSOR_INVALID"
    assert (
        await refusal_of(
            desk.admin.RedriveOrders(
                admin.RedriveOrdersRequest(all=True, page_token=first.next_page_token)
            )
        )
    ).reason == "CURSOR_INVALID"
    assert len(await desk.left()) == 2


async def test_a_server_alone_tells_of_itself_and_of_its_store(desk: Desk) -> None:
    await desk.place("tea")
    await completions(desk.intake, 1)
    found = await desk.admin.ListServers(admin.ListServersRequest())
    (server,) = found.servers
    assert (server.workers, server.subscribers, server.alive, server.answering) == (
        1,
        0,
        True,
        True,
    )
    assert server.name
    assert server.start_time.seconds <= server.heartbeat_time.seconds
    store = found.store
    assert store.engine.startswith("SQLite 3")
    assert (store.durability, store.reachable) == (api.DURABILITY_FSYNC, True)
    assert store.size_bytes > 4096
    half, nearly_all = store.commit_time_p50, store.commit_time_p99
    assert 0 < half.ToMicroseconds() <= nearly_all.ToMicroseconds() < 5_000_000


async def test_subscribers_are_told_with_what_they_want_and_how_far_they_are(desk: Desk) -> None:
    await desk.place("tea")
    await completions(desk.intake, 1)
    stream = desk.intake.StreamCompletions(
        api.StreamCompletionsRequest(customer_id="ada", tier=order_pb2.TIER_VIP)
    )
    while (message := await read(stream)).signal != api.SIGNAL_CAUGHT_UP:
        pass
    found = await desk.admin.ListSubscribers(admin.ListSubscribersRequest())
    (subscriber,) = found.subscribers
    assert found.total == 1
    assert (subscriber.customer_id, subscriber.tier) == ("ada", order_pb2.TIER_VIP)
    assert (subscriber.sequence, subscriber.lag) == (message.head_sequence, 0)
    assert subscriber.transport == admin.TRANSPORT_GRPC
    assert subscriber.caller == "anybody"
    assert subscriber.peer.startswith("ipv4:127.0.0.1:")
    assert subscriber.start_time.seconds > 0
    servers = (await desk.admin.ListServers(admin.ListServersRequest())).servers
    assert [each.subscribers for each in servers] == [1]
    stream.cancel()
