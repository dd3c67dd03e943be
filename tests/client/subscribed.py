"""Subscriptions that a test leads by hand, with a clock and chance of its own."""

import grpc

from client.fake_server import started
from orderintake.errors import Unavailable
from orderintake.requests import stream_completions
from orderintake.status import Status
from orderintake.subscription import Subscription
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
    chance: float = 1.0,
    clock: Clock | None = None,
) -> Subscription:
    subscription = Subscription(request, timeout=30, clock=clock or Clock(), chance=lambda: chance)
    subscription.begin()
    return subscription


def standing(
    request: api.StreamCompletionsRequest = EARLIEST,
    *,
    chance: float = 1.0,
    clock: Clock | None = None,
) -> Subscription:
    subscription = subscribed(request, chance=chance, clock=clock)
    subscription.request()
    subscription.received(started())
    return subscription
