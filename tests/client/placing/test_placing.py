"""Both clients over real sockets: orders are placed without waiting, none is lost or doubled."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

import orderintake
from client.blocking import Connect
from client.fake_placing import Requests, Responses, started
from client.fake_server import UNAVAILABLE, Context, FakeServer, Refusal, Silence
from orderintake import VIP, Client, Unavailable
from orderintake.v1 import order_intake_service_pb2 as api

BAD = Refusal(
    code=grpc.StatusCode.INVALID_ARGUMENT,
    reason="INVALID_ORDER",
    violations={"lines": "has 0 lines"},
)
FULL = Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="QUEUE_FULL", retry_after=0.01)
EXPIRED = Refusal(
    code=grpc.StatusCode.UNAUTHENTICATED,
    reason="UNAUTHENTICATED",
    metadata={"problem": "EXPIRED"},
)
Call = Callable[[Requests, Context], Responses]


def place(placing: Any, count: int, first: int = 0) -> list[Any]:  # noqa: ANN401 - either client's
    """Place so many orders, r0, r1 …"""
    return [
        placing.place(customer_id="ada", lines={"tea": 1}, request_id=f"r{number}")
        for number in range(first, first + count)
    ]


def ids(count: int) -> list[str]:
    return [f"r{number}" for number in range(count)]


def order_ids(placed: list[Any]) -> list[str]:
    return [each.result().order.order_id for each in placed]


def test_each_order_gets_its_receipt(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client, client.placing() as placing:
        placed = place(placing, 100)
        vip = placing.place(customer_id="bob", lines={"cake": 2}, tier=VIP)
        assert order_ids(placed) == [f"order of {each}" for each in ids(100)]
        assert vip.result().order.customer_id == "bob"
    assert server.servicer.accepted[:100] == ids(100)


def test_leaving_the_block_waits_for_all_results_and_ends_the_call(
    server: FakeServer, connect: Connect
) -> None:
    with connect(server.target) as client:
        with client.placing() as placing:
            placed = place(placing, 10)
        assert all(each.done() for each in placed)
        assert server.servicer.placed.acquire(timeout=10)
    assert server.servicer.accepted == ids(10)


def test_a_refusal_is_its_orders_alone(server: FakeServer, connect: Connect) -> None:
    server.servicer.refused += [None, BAD, None]
    with connect(server.target) as client:
        with client.placing() as placing:
            first, second, third = place(placing, 3)
        with pytest.raises(orderintake.InvalidOrder) as caught:
            second.result()
    assert [bad.field for bad in caught.value.violations] == ["lines"]
    assert (first.exception(), third.exception()) == (None, None)
    assert server.servicer.accepted == ["r0", "r2"]


def test_what_is_refused_for_now_is_placed_again(server: FakeServer, connect: Connect) -> None:
    server.servicer.refused += [FULL, None, None, FULL]
    with connect(server.target) as client, client.placing() as placing:
        placed = place(placing, 3)
        assert all(each.exception() is None for each in placed)
    assert sorted(server.servicer.accepted) == ids(3)


def test_placing_waits_only_while_too_many_have_no_result(
    server: FakeServer, connect: Connect
) -> None:
    let_go = threading.Event()
    most = 0

    def answer_late(requests: Requests, context: Context) -> Responses:
        nonlocal most
        yield started(5)
        found = 0
        while found < 5:
            message = next(requests)
            found += len(message.orders)
            let_go.wait(10)
            yield server.servicer.response(message, found - len(message.orders))
        for message in requests:
            yield server.servicer.response(message, found)
            found += len(message.orders)

    server.servicer.calls.append(answer_late)
    with connect(server.target) as client, client.placing() as placing:
        placed = place(placing, 5)
        assert not any(each.done() for each in placed)
        let_go.set()
        placed += place(placing, 20, first=5)
        assert len(order_ids(placed)) == 25
    assert server.servicer.accepted == ids(25)


def test_an_order_without_a_request_id_gets_one(server: FakeServer, connect: Connect) -> None:
    order = api.PlaceOrderRequest(customer_id="ada")
    with connect(server.target) as client, client.placing() as placing:
        placing.place(customer_id="ada", lines={"tea": 1})
        placing.place_message(order)
        order.customer_id = "bob"
        with pytest.raises(TypeError, match="must be a PlaceOrderRequest"):
            placing.place_message({"customer_id": "ada"})
        with pytest.raises(ValueError, match="quantity"):
            placing.place(customer_id="ada", lines={"tea": 2**40})
    found = [each for message in server.servicer.requests for each in message.orders]
    assert all(each.request_id for each in found)
    assert [each.customer_id for each in found] == ["ada", "ada"]
    assert (order.request_id, len({each.request_id for each in found})) == ("", 2)


# However a call is cut


def cut_before(server: FakeServer) -> Call:
    def cut(requests: Requests, context: Context) -> Responses:
        yield started()
        next(requests)
        UNAVAILABLE.end(context)

    return cut


def cut_after(server: FakeServer) -> Call:
    """The orders are accepted, and their results lost."""

    def cut(requests: Requests, context: Context) -> Responses:
        yield started()
        server.servicer.response(next(requests), 0)
        Refusal(code=grpc.StatusCode.CANCELLED).end(context)

    return cut


def cut_within(server: FakeServer) -> Call:
    """Of the first message, some of the results are told; then the server goes away."""

    def cut(requests: Requests, context: Context) -> Responses:
        yield started()
        response = server.servicer.response(next(requests), 0)
        yield api.PlaceOrdersResponse(results=response.results[:3])
        yield api.PlaceOrdersResponse(signal=api.SIGNAL_GOING_AWAY)
        Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="DRAINING").end(context)

    return cut


def end_early(server: FakeServer) -> Call:
    def end(requests: Requests, context: Context) -> Responses:
        yield started()

    return end


def too_slow(server: FakeServer) -> Call:
    def end(requests: Requests, context: Context) -> Responses:
        yield started()
        yield server.servicer.response(next(requests), 0)
        Refusal(code=grpc.StatusCode.ABORTED, reason="SUBSCRIBER_TOO_SLOW").end(context)

    return end


CUTS = (cut_before, cut_after, cut_within, end_early, too_slow)


@pytest.mark.parametrize("cut", CUTS)
def test_p23_a_call_that_is_cut_loses_and_doubles_no_order(
    server: FakeServer, connect: Connect, cut: Callable[[FakeServer], Call]
) -> None:
    server.servicer.calls += [cut(server), cut(server)]
    with connect(server.target) as client, client.placing() as placing:
        placed = place(placing, 20)
        assert order_ids(placed) == [f"order of {each}" for each in ids(20)]
        more = place(placing, 5, first=20)
        assert len(order_ids(more)) == 5
    assert server.servicer.accepted == ids(25)


def test_a_server_that_restarts_goes_unseen(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client, client.placing() as placing:
        assert len(order_ids(place(placing, 5))) == 5
        server.stop()
        placed = place(placing, 5, first=5)
        server.start()
        assert len(order_ids(placed)) == 5
    assert server.servicer.accepted == ids(10)


def test_an_expired_token_is_renewed_and_nothing_lost(server: FakeServer, connect: Connect) -> None:
    def expire(requests: Requests, context: Context) -> Responses:
        yield started()
        yield server.servicer.response(next(requests), 0)
        EXPIRED.end(context)

    def refuse_the_old_one(requests: Requests, context: Context) -> Responses:
        if server.servicer.metadata[-1]["authorization"] == "Bearer t1":
            EXPIRED.end(context)
        return server.servicer.place_on(requests, context)

    tokens = iter(["t1", "t2"])
    server.servicer.calls += [expire, refuse_the_old_one]
    with (
        connect(server.target, token=lambda: next(tokens)) as client,
        client.placing() as placing,
    ):
        assert len(order_ids(place(placing, 5))) == 5
        assert len(order_ids(place(placing, 5, first=5))) == 5
    shown = [each["authorization"] for each in server.servicer.metadata]
    # Who writes to a call that has just ended is told INTERNAL (grpc#36066), and tries once more.
    assert shown in (["Bearer t1", "Bearer t2"], ["Bearer t1", "Bearer t1", "Bearer t2"])


def test_what_the_function_for_tokens_raises_is_told(server: FakeServer, connect: Connect) -> None:
    def expire(requests: Requests, context: Context) -> Responses:
        yield started()
        next(requests)
        EXPIRED.end(context)

    tokens = iter(["t1"])

    def token() -> str:
        for found in tokens:
            return found
        raise LookupError("no token")

    server.servicer.calls.append(expire)
    with connect(server.target, token=token) as client:
        with client.placing() as placing:
            (placed,) = place(placing, 1)
            with pytest.raises(LookupError):
                placed.result()
            with pytest.raises(LookupError):
                place(placing, 1)
        with pytest.raises(LookupError), client.placing():
            pytest.fail("it began")


# Where it ends


def test_entering_raises_what_the_server_says(server: FakeServer, connect: Connect) -> None:
    def refuse(requests: Requests, context: Context) -> Responses:
        Refusal(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="TOO_MANY_STREAMS").end(context)
        yield started()

    server.servicer.calls.append(refuse)
    with (
        connect(server.target) as client,
        pytest.raises(orderintake.TooManyStreams),
        client.placing(),
    ):
        pytest.fail("it began")


def test_entering_raises_unavailable_when_no_server_is_there(connect: Connect) -> None:
    with connect("127.0.0.1:1") as client, pytest.raises(Unavailable), client.placing():
        pytest.fail("it began")


def test_entering_raises_when_the_server_never_says_that_it_began(
    server: FakeServer, connect: Connect
) -> None:
    def say_nothing(requests: Requests, context: Context) -> Responses:
        Silence().end(context)
        yield started()

    server.servicer.calls.append(say_nothing)
    with (
        connect(server.target, timeout=0.2) as client,
        pytest.raises(orderintake.DeadlineExceeded),
        client.placing(),
    ):
        pytest.fail("it began")


def test_orders_that_a_silent_server_never_answers_are_told_in_time(
    server: FakeServer, connect: Connect
) -> None:
    def fall_silent(requests: Requests, context: Context) -> Responses:
        yield started()
        next(requests)
        Silence().end(context)

    server.servicer.calls.append(fall_silent)
    with connect(server.target, timeout=0.3) as client, client.placing() as placing:
        placed = place(placing, 3)
        assert {type(each.exception()) for each in placed} == {orderintake.DeadlineExceeded}
        with pytest.raises(orderintake.DeadlineExceeded):
            place(placing, 1)


def test_a_refused_call_ends_it_for_every_order(server: FakeServer, connect: Connect) -> None:
    def refuse(requests: Requests, context: Context) -> Responses:
        yield started()
        next(requests)
        Refusal(code=grpc.StatusCode.PERMISSION_DENIED, reason="NOT_ALLOWED").end(context)

    server.servicer.calls.append(refuse)
    with connect(server.target) as client, client.placing() as placing:
        (placed,) = place(placing, 1)
        with pytest.raises(orderintake.NotAllowed):
            placed.result()
        with pytest.raises(orderintake.NotAllowed):
            place(placing, 1)


def test_leaving_by_an_error_waits_for_nothing(server: FakeServer, connect: Connect) -> None:
    def say_nothing(requests: Requests, context: Context) -> Responses:
        yield started()
        Silence().end(context)

    def fail(placed: list[Any], placing: Any) -> None:  # noqa: ANN401 - either client's
        placed += place(placing, 1)
        raise LookupError

    server.servicer.calls.append(say_nothing)
    placed: list[Any] = []
    with connect(server.target) as client:
        with pytest.raises(LookupError), client.placing() as placing:
            fail(placed, placing)
        assert isinstance(placed[0].exception(), Unavailable)
        assert server.servicer.placed.acquire(timeout=10)


def test_a_block_that_was_left_takes_nothing(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        placing = client.placing()
        with pytest.raises(RuntimeError, match="inside"):
            place(placing, 1)
        with placing:
            pass
        with pytest.raises(RuntimeError, match="inside"):
            place(placing, 1)
        with pytest.raises(RuntimeError, match="once"):
            placing.__enter__()


def test_closing_the_client_ends_the_block(server: FakeServer) -> None:
    def say_nothing(requests: Requests, context: Context) -> Responses:
        yield started()
        Silence().end(context)

    server.servicer.calls.append(say_nothing)
    client = Client(server.target).open()
    with client.placing() as placing:
        placed = placing.place(customer_id="ada", lines={"tea": 1})
        client.close()
        assert isinstance(placed.exception(), Unavailable)


def test_many_threads_may_place(server: FakeServer) -> None:
    placed: list[Any] = []
    with Client(server.target) as client, client.placing() as placing:
        threads = [
            threading.Thread(target=lambda at=at: placed.extend(place(placing, 50, first=50 * at)))
            for at in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(order_ids(placed)) == sorted(f"order of {each}" for each in ids(200))
    assert sorted(server.servicer.accepted) == sorted(ids(200))
