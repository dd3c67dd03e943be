"""Both clients over real sockets: the same streams, which no loss of a connection disturbs."""

from collections.abc import Iterable
from itertools import islice

import grpc
import pytest

import orderintake
from client.blocking import Connect
from client.completions.opened import Opened, blocking_completions_of, completions_of
from client.fake_server import (
    UNAVAILABLE,
    Context,
    FakeServer,
    Messages,
    Refusal,
    Silence,
    completion,
    message,
    started,
)
from orderintake.requests import stream_completions
from orderintake.streams.subscription import Subscription
from orderintake.v1 import order_intake_service_pb2 as api


def sequences(completions: Iterable[orderintake.Completion], count: int) -> list[int]:
    return [completion.sequence for completion in islice(completions, count)]


def test_completions_come_from_the_first_of_the_log(server: FakeServer, connect: Connect) -> None:
    server.servicer.complete(3)
    with connect(server.target) as client, client.completions() as completions:
        assert sequences(completions, 2) == [1, 2]
        server.servicer.complete(2)
        assert sequences(completions, 3) == [3, 4, 5]


def test_completions_come_from_after_a_cursor(server: FakeServer, connect: Connect) -> None:
    server.servicer.complete(3)
    with connect(server.target) as client, client.completions(after="c2") as completions:
        assert completions.cursor == "c2"
        assert sequences(completions, 1) == [3]


def test_entering_waits_until_nothing_that_follows_can_be_missed(
    server: FakeServer, connect: Connect
) -> None:
    server.servicer.complete(3)
    with connect(server.target) as client, client.completions(from_latest=True) as completions:
        server.servicer.complete(1)
        assert sequences(completions, 1) == [4]


def test_latest_misses_nothing_when_the_first_stream_is_lost_before_a_completion(
    server: FakeServer, connect: Connect
) -> None:
    server.servicer.complete(3)
    with connect(server.target) as client, client.completions(from_latest=True) as completions:
        server.servicer.drop_streams()
        server.servicer.complete(1)
        assert sequences(completions, 1) == [4]
    assert server.servicer.requests[1].after_cursor == "c3"


def test_the_request_carries_what_was_asked(server: FakeServer, connect: Connect) -> None:
    with (
        connect(server.target) as client,
        client.completions(max_batch_size=7, heartbeat_interval=1.5),
    ):
        pass
    (request,) = server.servicer.requests
    assert request.start_at == api.START_AT_EARLIEST
    assert request.max_batch_size == 7
    assert request.heartbeat_interval.ToMilliseconds() == 1500


def test_a_stream_begins_at_one_place_only(connect: Connect) -> None:
    with connect("127.0.0.1:1") as client, pytest.raises(ValueError, match="not both"):
        client.completions(after="c1", from_latest=True)


def test_dropped_streams_are_resumed_without_loss_or_repeat(
    server: FakeServer, connect: Connect
) -> None:
    server.servicer.complete(10)
    seen = []
    with connect(server.target) as client, client.completions(max_batch_size=3) as completions:
        for _ in range(4):
            seen += sequences(completions, 2)
            server.servicer.drop_streams()
        seen += sequences(completions, 2)
    assert seen == list(range(1, 11))


def test_a_server_that_restarts_on_its_port_goes_unseen(
    server: FakeServer, connect: Connect
) -> None:
    server.servicer.complete(2)
    with connect(server.target) as client, client.completions() as completions:
        assert sequences(completions, 1) == [1]
        server.stop()
        server.servicer.complete(2)
        server.start()
        assert sequences(completions, 3) == [2, 3, 4]


def test_a_cursor_stored_at_any_point_goes_on_with_the_next(
    server: FakeServer, connect: Connect
) -> None:
    server.servicer.complete(5)
    cursor, seen = "", []
    with connect(server.target) as client:
        for _ in range(5):
            with client.completions(after=cursor, max_batch_size=2) as completions:
                seen += sequences(completions, 1)
                cursor = completions.cursor
    assert seen == [1, 2, 3, 4, 5]


def test_leaving_the_block_ends_the_servers_stream(server: FakeServer, connect: Connect) -> None:
    with connect(server.target) as client:
        with client.completions():
            assert not server.servicer.left.acquire(blocking=False)
        assert server.servicer.left.acquire(timeout=10)


def test_leaving_the_block_by_an_error_ends_the_servers_stream(
    server: FakeServer, connect: Connect
) -> None:
    server.servicer.complete(1)
    with connect(server.target) as client:
        with pytest.raises(ZeroDivisionError), client.completions() as completions:
            next(completions).sequence / 0
        assert server.servicer.left.acquire(timeout=10)


def test_closing_ends_the_iteration_and_the_servers_stream(
    server: FakeServer, connect: Connect
) -> None:
    server.servicer.complete(2)
    with connect(server.target) as client, client.completions() as completions:
        assert next(completions).sequence == 1
        completions.close()
        assert list(completions) == []
        assert server.servicer.left.acquire(timeout=10)


def test_a_subscription_is_entered_once_and_iterated_inside_only(
    server: FakeServer, connect: Connect
) -> None:
    with connect(server.target) as client:
        completions = client.completions()
        with pytest.raises(RuntimeError, match="inside"):
            next(completions)
        with completions:
            pass
        with pytest.raises(RuntimeError, match="once"):
            completions.__enter__()


def test_entering_raises_unavailable_when_no_server_is_there(connect: Connect) -> None:
    with (
        connect("127.0.0.1:1") as client,
        pytest.raises(orderintake.Unavailable),
        client.completions(),
    ):
        pytest.fail("it stands")


def test_entering_survives_a_server_that_is_about_to_come(
    server: FakeServer, connect: Connect
) -> None:
    def refuse(context: Context) -> Messages:
        UNAVAILABLE.end(context)
        yield started()

    server.servicer.scripts += [refuse] * 4
    with connect(server.target) as client, client.completions():
        assert len(server.servicer.requests) == 5


def test_entering_raises_when_the_server_never_says_that_it_started(
    server: FakeServer, connect: Connect
) -> None:
    def say_nothing(context: Context) -> Messages:
        Silence().end(context)
        yield started()

    server.servicer.scripts.append(say_nothing)
    with (
        connect(server.target, timeout=0.2) as client,
        pytest.raises(orderintake.DeadlineExceeded),
        client.completions(),
    ):
        pytest.fail("it stands")


@pytest.mark.parametrize("reason", ["CURSOR_INVALID", "CURSOR_AHEAD", "CURSOR_OTHER_LOG"])
def test_a_rejected_cursor_is_raised_at_the_door(
    server: FakeServer, connect: Connect, reason: str
) -> None:
    def refuse(context: Context) -> Messages:
        Refusal(code=grpc.StatusCode.FAILED_PRECONDITION, reason=reason).end(context)
        yield started()

    server.servicer.scripts.append(refuse)
    with (
        connect(server.target) as client,
        pytest.raises(orderintake.CursorRejected) as caught,
        client.completions(after="c9"),
    ):
        pytest.fail("it stands")
    assert caught.value.reason == reason
    assert len(server.servicer.requests) == 1


def test_a_cursor_that_is_rejected_when_coming_back_is_raised_in_the_loop(
    server: FakeServer, connect: Connect
) -> None:
    def begin(context: Context) -> Messages:
        yield started()

    def refuse(context: Context) -> Messages:
        Refusal(code=grpc.StatusCode.FAILED_PRECONDITION, reason="CURSOR_AHEAD").end(context)
        yield started()

    server.servicer.scripts += [begin, refuse]
    with connect(server.target) as client, client.completions() as completions:
        with pytest.raises(orderintake.CursorRejected):
            next(completions)
        assert list(completions) == []


def test_a_hole_in_the_sequence_is_raised(server: FakeServer, connect: Connect) -> None:
    def skip(context: Context) -> Messages:
        yield started()
        yield message(1, 2)
        yield message(4)

    server.servicer.scripts.append(skip)
    with connect(server.target) as client, client.completions() as completions:
        assert sequences(completions, 2) == [1, 2]
        with pytest.raises(orderintake.CompletionGap) as caught:
            next(completions)
        assert completions.cursor == "c2"
    assert (caught.value.expected, caught.value.received) == (3, 4)


def test_going_away_and_an_end_without_a_word_are_come_back_from(
    server: FakeServer, connect: Connect
) -> None:
    def go_away(context: Context) -> Messages:
        yield started()
        yield message(1, 2)
        yield message(cursor="c2", signal=api.SIGNAL_GOING_AWAY)
        Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="DRAINING").end(context)

    def end(context: Context) -> Messages:
        yield started("c2")
        yield message(3)

    server.servicer.complete(4)
    server.servicer.scripts += [go_away, end]
    with connect(server.target) as client, client.completions() as completions:
        assert sequences(completions, 4) == [1, 2, 3, 4]
    assert [request.after_cursor for request in server.servicer.requests] == ["", "c2", "c3"]


@pytest.mark.parametrize("opened", [completions_of, blocking_completions_of], ids=["sync", "async"])
def test_a_stream_that_falls_silent_is_opened_anew(server: FakeServer, opened: Opened) -> None:
    def fall_silent(context: Context) -> Messages:
        yield started()
        yield message(1)
        Silence().end(context)

    request = stream_completions(heartbeat_interval=1)
    subscription = Subscription(request, timeout=10, silent_heartbeats=0.2)
    server.servicer.complete(2)
    server.servicer.scripts.append(fall_silent)
    with opened(server.target, subscription) as completions:
        assert sequences(completions, 2) == [1, 2]
    assert [request.after_cursor for request in server.servicer.requests] == ["", "c1"]


def test_the_cursor_moves_when_there_is_nothing_to_hand_out(
    server: FakeServer, connect: Connect
) -> None:
    def idle(context: Context) -> Messages:
        yield started()
        yield message(cursor="c5", signal=api.SIGNAL_HEARTBEAT)
        yield message(6)

    server.servicer.scripts.append(idle)
    with connect(server.target) as client, client.completions() as completions:
        assert completions.cursor == "c0"
        assert next(completions) == completion(6)
        assert completions.cursor == "c6"


def test_a_stream_that_ends_as_cancelled_though_nobody_cancelled_it_is_resumed(
    server: FakeServer, connect: Connect
) -> None:
    def cut(context: Context) -> Messages:
        yield started()
        Refusal(code=grpc.StatusCode.CANCELLED).end(context)

    def cut_at_once(context: Context) -> Messages:
        Refusal(code=grpc.StatusCode.CANCELLED).end(context)
        yield started()

    server.servicer.complete(2)
    server.servicer.scripts += [cut_at_once, cut, cut]
    with connect(server.target) as client, client.completions() as completions:
        assert [next(completions).sequence, next(completions).sequence] == [1, 2]
    assert len(server.servicer.requests) == 4
