"""Subscriptions that a test leads by hand, with a clock and jitter of its own."""

import grpc

from client.fake_server import started
from orderintake.errors import Unavailable
from orderintake.requests import stream_completions
from orderintake.status import Status
from orderintake.streams.subscription import Subscription
from orderintake.v1 import order_intake_service_pb2 as api

GONE = Unavailable(Status(code=grpc.StatusCode.UNAVAILABLE, message="gone"))


class Clock:
    """Time that passes when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


EARLIEST = stream_completions()


def subscribed(
    request: api.StreamCompletionsRequest = EARLIEST,
    *,
    jitter: float = 1.0,
    clock: Clock | None = None,
) -> Subscription:
    subscription = Subscription(request, timeout=30, clock=clock or Clock(), jitter=lambda: jitter)
    subscription.begin()
    return subscription


def patient() -> Subscription:
    """A subscription that waits for a day before it opens a stream that was lost."""
    return Subscription(stream_completions(), timeout=10, jitter=lambda: 86_400 / 0.1)


def established(
    request: api.StreamCompletionsRequest = EARLIEST,
    *,
    jitter: float = 1.0,
    clock: Clock | None = None,
) -> Subscription:
    subscription = subscribed(request, jitter=jitter, clock=clock)
    subscription.request()
    subscription.received(started())
    return subscription
