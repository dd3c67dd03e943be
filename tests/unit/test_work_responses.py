"""What workers are told: orders joined from encoded parts are the messages of the contract."""

from dataclasses import replace

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_pb2
from orderintake.v1 import order_work_service_pb2 as work
from orderintake_server.api.work.responses import WorkResponses
from orderintake_server.domain import State
from orderintake_server.ids import Ids
from orderintake_server.work.seen import WorkerKind, WorkerSeen
from orderintake_server.work.words import Leased, News
from support.work_room import key, lent

IDS = Ids("0123abcd")
RESPONSES = WorkResponses(IDS, attempt_seconds=None)


def test_orders_are_told_with_all_that_a_worker_needs() -> None:
    content = order_pb2.Order(customer_id="ada", labels={"size": "xl"})
    first = lent(7)
    first.order.content = content.SerializeToString()
    first.order.trace = bytes(range(1, 26))
    leased = Leased(states=[State.SUCCEEDED, None], leases=[first, lent(8)], is_going_away=True)
    told = work.LeaseOrdersResponse.FromString(RESPONSES.leased(leased, lambda _: 0.0))
    assert [status.result for status in told.outcomes] == [
        work.OUTCOME_RESULT_RECORDED,
        work.OUTCOME_RESULT_LEASE_LOST,
    ]
    assert told.outcomes[0].state == order_pb2.STATE_SUCCEEDED
    assert told.signal == work.WORK_SIGNAL_GOING_AWAY
    assert [IDS.lease_key(order.lease) for order in told.orders] == [key(7), key(8)]
    order = told.orders[0].order
    assert (order.order_id, order.customer_id, order.labels["size"]) == (
        IDS.order_id(7),
        "ada",
        "xl",
    )
    assert (order.state, order.attempt_count) == (order_pb2.STATE_PROCESSING, 1)
    assert order.start_sequence == 7
    assert told.orders[0].traceparent.startswith("00-")
    assert not told.orders[0].HasField("attempt_timeout")
    assert not told.orders[1].traceparent


def test_a_repeat_is_told_how_long_the_attempt_may_still_take() -> None:
    responses = WorkResponses(IDS, attempt_seconds=60.0)
    told = responses.leased(Leased(leases=[lent(1)]), lambda _: 12.5)
    (order,) = work.LeaseOrdersResponse.FromString(told).orders
    assert order.attempt_timeout.ToMilliseconds() == 47_500
    late = responses.leased(Leased(leases=[lent(1)]), lambda _: 61.0)
    (order,) = work.LeaseOrdersResponse.FromString(late).orders
    assert order.HasField("attempt_timeout")
    assert order.attempt_timeout.ToMilliseconds() == 0


def test_news_name_leases_by_the_texts_that_workers_have() -> None:
    news = News(keeps=30.0, stops=[key(1)], lost=[key(2)])
    told = RESPONSES.news(news)
    (of,) = work.LeaseOrdersResponse.FromString(
        RESPONSES.leased(Leased(leases=[lent(1)]), lambda _: 0.0)
    ).orders
    assert list(told.stops) == [of.lease]
    assert [IDS.lease_key(lease) for lease in told.lost] == [key(2)]
    assert (told.keeps.ToSeconds(), told.signal) == (30, work.WORK_SIGNAL_UNSPECIFIED)


def test_who_processes_the_orders_is_told_the_oldest_first_and_cut() -> None:
    seen = WorkerSeen(
        name="kitchen:7", kind=WorkerKind.REMOTE, worker_id="me", capacity=100, busy=70,
        attempts=[(number, number) for number in range(1, 71)], since=2_000_000, heard=0,
        is_stopping=True,
    )  # fmt: skip
    server = replace(
        seen, kind=WorkerKind.IN_PROCESS, worker_id="", since=1_000_000, heard=3_000_000
    )
    told = RESPONSES.workers([seen, server] + [seen] * 599)
    assert (len(told.workers), told.total) == (500, 601)
    first, second = told.workers[:2]
    assert (first.kind, first.heartbeat_time.seconds) == (admin.WORKER_KIND_IN_PROCESS, 3)
    assert (second.worker_id, second.capacity, second.busy) == ("me", 100, 70)
    assert (second.stopping, second.HasField("heartbeat_time")) == (True, False)
    assert len(second.attempts) == 64
    assert second.attempts[0].order_id == IDS.order_id(1)
    assert second.attempts[0].start_time.ToMicroseconds() == 1
