"""When a lost stream is come back to, how soon, and when it is given up."""

import logging

import grpc
import pytest

from client.completions.subscribed import GONE, Clock, established, subscribed
from client.fake_server import message, started
from orderintake.errors import (
    DeadlineExceeded,
    InternalError,
    OrderIntakeError,
    TooManyStreams,
    Unavailable,
)
from orderintake.requests import stream_completions
from orderintake.status import Status
from orderintake.streams.comeback import ATTEMPTS, RESUMABLE
from orderintake.streams.subscription import Subscription
from orderintake.v1 import order_intake_service_pb2 as api


@pytest.mark.parametrize("code", grpc.StatusCode, ids=lambda code: code.name)
def test_it_comes_back_from_what_may_pass_and_raises_the_rest(code: grpc.StatusCode) -> None:
    subscription = established()
    error = OrderIntakeError(Status(code=code, message=""))
    if code in RESUMABLE:
        subscription.lost(error)
        assert not subscription.ended
    else:
        with pytest.raises(OrderIntakeError) as caught:
            subscription.lost(error)
        assert caught.value is error
        assert subscription.ended


FULL = TooManyStreams(
    Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED, message="full", retry_after=5.0)
)


def test_a_server_with_too_many_streams_is_come_back_to_when_it_says() -> None:
    subscription = established()
    subscription.lost(FULL)
    assert not subscription.ended
    assert subscription.backoff == 5.1


def test_who_begins_is_told_at_once_that_there_are_too_many_streams() -> None:
    subscription = subscribed()
    with pytest.raises(TooManyStreams) as caught:
        subscription.lost(FULL)
    assert caught.value.retry_after == 5.0
    assert subscription.ended


def test_pauses_double_up_to_five_seconds() -> None:
    subscription = established()
    assert subscription.backoff == 0
    assert pauses(subscription, 8) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]


def test_pauses_are_cut_down_by_jitter() -> None:
    assert pauses(established(jitter=0.25), 3) == [0.025, 0.05, 0.1]


@pytest.mark.parametrize(
    ("heard", "pause"),
    [
        (message(1), 0.1),
        (message(cursor="c0", signal=api.SIGNAL_HEARTBEAT), 0.1),
        (message(cursor="c0", signal=api.SIGNAL_CAUGHT_UP), 0.8),
        (message(cursor="c0", signal=api.SIGNAL_GOING_AWAY), 0.8),
    ],
    ids=["completions", "heartbeat", "caught up", "going away"],
)
def test_pauses_begin_anew_when_a_stream_did_its_work(
    heard: api.StreamCompletionsResponse, pause: float
) -> None:
    subscription = established()
    pauses(subscription, 3)
    subscription.request()
    subscription.received(started("c0"))
    subscription.received(heard)
    assert pauses(subscription, 1) == [pause]


def pauses(subscription: Subscription, count: int) -> list[float]:
    """The pauses after so many losses, one after another."""
    found = []
    for _ in range(count):
        subscription.lost(GONE)
        found.append(subscription.backoff)
    return found


def test_it_bears_two_silent_heartbeats_as_the_server_clamps_them() -> None:
    intervals = (None, 0.0, 0.2, 1.5, 20.0, 1e6)
    requests = [stream_completions(heartbeat_interval=each) for each in intervals]
    patience = [established(request).silence_limit() for request in requests]
    assert patience == [10, 10, 2, 3, 40, 120]


def test_until_it_stands_it_bears_no_more_than_the_timeout() -> None:
    clock = Clock()
    subscription = subscribed(stream_completions(heartbeat_interval=20.0), clock=clock)
    subscription.request()
    assert subscription.silence_limit() == 30
    clock.now = 29.0
    assert subscription.silence_limit() == 1
    clock.now = 31.0
    assert subscription.silence_limit() == 0


def test_it_gives_up_after_five_attempts_with_what_stood_in_the_way() -> None:
    subscription = subscribed()
    for _ in range(ATTEMPTS - 2):
        subscription.lost()
    subscription.lost(GONE)
    with pytest.raises(Unavailable) as caught:
        subscription.received(None)
    assert caught.value is GONE
    assert subscription.ended


def test_it_gives_up_when_the_timeout_is_over() -> None:
    clock = Clock()
    subscription = subscribed(clock=clock)
    clock.now = 30.0
    with pytest.raises(DeadlineExceeded):
        subscription.lost()


def test_it_never_gives_up_once_it_stood() -> None:
    clock = Clock()
    subscription = established(clock=clock)
    clock.now = 1e9
    pauses(subscription, 1000)
    assert not subscription.ended


def test_a_loss_is_logged_once_it_stood_and_is_no_warning_when_it_was_announced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    subscription = subscribed()
    subscription.lost(GONE)
    subscription.request()
    subscription.received(started())
    subscription.received(message(cursor="c0", signal=api.SIGNAL_GOING_AWAY))
    subscription.lost(GONE)
    subscription.request()
    subscription.lost()
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert "UNAVAILABLE: gone" in caplog.text


def test_an_outage_is_logged_once_then_once_a_minute_then_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    subscription = established(clock=clock)
    for clock.now in (0.0, 0.1, 5.0, 59.0, 61.0, 62.0):
        subscription.request()
        subscription.lost(GONE)
    clock.now = 63.5
    subscription.request()
    subscription.received(started())
    told = [(record.levelname, record.getMessage()[:32]) for record in caplog.records]
    lost, back = ("WARNING", "completion stream lost, reconnec"), "completion stream is back after "
    assert told == [lost, lost, ("INFO", back)]
    assert "after 63.5 s" in caplog.text
    subscription.lost(GONE)
    assert len(caplog.records) == 4


def test_once_ended_no_loss_matters() -> None:
    subscription = established()
    subscription.end()
    subscription.lost(InternalError(Status(code=grpc.StatusCode.INTERNAL, message="")))
    assert subscription.ended
