"""Handlers, the shop's own code: what they receive, how they are loaded and called; a default."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import structlog
from google.protobuf import duration_pb2

from orderintake.v1 import order_pb2
from orderintake.work import OrderAttempt, Reject, Retry
from orderintake.work import handlers as calling
from orderintake.work.attempt import attempt_of, content_of
from orderintake.work.finding import HandlerUnusable, check, find
from orderintake.work.handlers import CallPolicy
from orderintake.work.lifespan import lifespan
from orderintake_server.errors import StartupFailed
from orderintake_server.telemetry import traces
from orderintake_server.telemetry.spans import NO_SPAN, NoSpans

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from contextvars import ContextVar

    from orderintake.work.attempt import StopSignal
    from orderintake.work.outcome import Outcome
    from orderintake_server.domain import Lease, Order
    from orderintake_server.ids import Ids
    from orderintake_server.telemetry.spans import Span, Spans

__all__ = [
    "CallPolicy",
    "HandlerCalls",
    "OrderAttempt",
    "Reject",
    "Retry",
    "Shop",
    "load",
    "shop",
    "simulate",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _log_field(name: str) -> ContextVar[Any]:
    """Give structlog's own variable of a field: to set it costs less than to bind the field."""
    return Context().run(structlog.contextvars.bind_contextvars, **{name: None})[name].var


_ORDER_ID, _CUSTOMER_ID, _ATTEMPT, _TRACE_ID = map(
    _log_field, ("order_id", "customer_id", "attempt", "trace_id")
)
_UNSET: Any = ...
"""What structlog takes for no value."""


async def simulate(order: OrderAttempt) -> None:
    """Wait as long as the label `processing_time` says, like "0.2s"; without it, not at all.

    Raises Reject when the label is not a duration, or is negative.
    """
    text = order.labels.get("processing_time", "0s")
    duration = duration_pb2.Duration()
    try:
        duration.FromJsonString(text)
    except ValueError:
        duration.seconds = -1
    seconds = duration.seconds + duration.nanos / 1e9
    if seconds < 0:
        raise Reject(
            "HANDLER_ERROR",
            f'label processing_time is {text!r}; it must be a duration of 0 or more, like "0.2s"',
        )
    await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The shop's own code: its handler, and what it opens once for all orders."""

    name: str = "handler"
    """The handler's, as the log calls it."""
    handler: Callable[[OrderAttempt], Any] = simulate
    before: Callable[[OrderAttempt], Awaitable[None]] | None = None
    """Awaited before the handler is called."""
    lifespan: Callable[[], Any] | None = None
    """Gives a context manager, whose value each order has as `order.resources`."""


def load(path: str) -> Callable[[OrderAttempt], Any]:
    """Import the handler at `package.module:callable` and return it.

    Raises StartupFailed, which says what is wrong with the path, or what the import raised.
    """
    try:
        return find(path)
    except HandlerUnusable as unusable:
        raise StartupFailed(str(unusable)) from None


def shop(handler: str, lifespan: str) -> Shop:
    """Import what the settings name, before an event loop runs; an empty `lifespan` is none.

    Raises StartupFailed for what is not there, and for a handler that could process no order.
    """
    try:
        found = find(handler)
        check(found, handler)
        begin = find(lifespan, "lifespan") if lifespan else None
    except HandlerUnusable as unusable:
        raise StartupFailed(str(unusable)) from None
    return Shop(name=handler, handler=found, lifespan=begin)


class HandlerCalls:
    """Calls the shop's handler for each attempt, with the order decoded when it is looked at."""

    def __init__(
        self,
        shop: Shop,
        policy: CallPolicy,
        *,
        ids: Ids,
        resources: Any = None,  # noqa: ANN401 - the shop's own
        spans: Spans | None = None,
    ) -> None:
        """Call the handler of `shop`, in a span of `spans`; each order is given `resources`."""
        self._calls = calling.HandlerCalls(shop.handler, policy, before=shop.before)
        self.figures = self._calls.figures
        self.room = self._calls.room
        """Awaited before each call: waits until one more attempt can be made."""
        self._ids = ids
        self._resources = resources
        self.spans: Spans = spans or NoSpans()
        """What begins the spans of attempts, and of calls."""

    def __enter__(self) -> Self:
        """Use it as a block: behind it nothing more is started."""
        self._calls.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the threads go; one that still runs cannot be ended, and is left behind."""
        self._calls.__exit__()

    @property
    def stuck(self) -> int:
        """How many threads hang in the handler and were replaced."""
        return self._calls.stuck

    def __call__(self, lease: Lease, signal: StopSignal) -> Coroutine[Any, Any, Outcome]:
        """Make one attempt; whatever the handler does, give its outcome.

        What the handler logs names the order, its customer, its trace and the attempt; so does what
        the caller logs until its next call. When the caller is cancelled, so is the handler: raises
        CancelledError if it ends by that.
        """
        stored = lease.order
        order = attempt_of(
            partial(self._rest, stored),
            order_id=self._ids.order_id(stored.accept_sequence),
            customer_id=stored.customer_id,
            attempt=stored.attempt_count,
            deadline=None,
            ends=None,
            signal=signal,
        )
        span = self.spans.attempt(stored, order.order_id)
        _name_in_log(order, span.trace or stored.trace)
        attempt = self._calls(order)
        return attempt if span is NO_SPAN else _in_span(span, attempt)

    def _rest(self, stored: Order) -> dict[str, Any]:
        """Give what an order has beside what each attempt needs; decode what its caller placed."""
        order = order_pb2.Order.FromString(stored.content)
        return {
            **content_of(order),
            "resources": self._resources,
            "accept_time": _time(stored.accept_time),
            "not_before": _time(stored.not_before) if stored.not_before else None,
            "expire_time": _time(stored.expire_time) if stored.expire_time else None,
            "redrive_of": self._ids.order_id(stored.redrive_of) if stored.redrive_of else "",
            "traceparent": traces.written(stored.trace) if stored.trace else "",
        }


async def _in_span(span: Span, attempt: Coroutine[Any, Any, Outcome]) -> Outcome:
    """End the span of an attempt with it."""
    code = None
    try:
        outcome = await attempt
        code = outcome.code
    finally:
        span.end_attempt(code)
    return outcome


def _name_in_log(order: OrderAttempt, trace: bytes | None) -> None:
    """Name the attempt in what is logged from now on in this task, and in those that it starts."""
    _ORDER_ID.set(order.order_id)
    _CUSTOMER_ID.set(order.customer_id)
    _ATTEMPT.set(order.attempt)
    _TRACE_ID.set(_UNSET if trace is None else traces.trace_id(trace))


def _time(microseconds: int) -> datetime:
    """Give a time that Python can hold: the last one it can stands for those after it."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


@asynccontextmanager
async def handler_calls(
    shop: Shop, policy: CallPolicy, ids: Ids, spans: Callable[[], Spans] = NoSpans
) -> AsyncIterator[HandlerCalls]:
    """Begin the shop's lifespan and give the calls of its handler; end both behind the block.

    `spans` is called once, when the shop's code had its chance to set up what records spans.

    Raises StartupFailed when the handler could process no order, or the lifespan cannot begin.
    """
    try:
        check(shop.handler, shop.name)
        async with lifespan(shop.lifespan, shop.name) as resources:
            made = HandlerCalls(shop, policy, ids=ids, resources=resources, spans=spans())
            with made as calls:
                yield calls
    except HandlerUnusable as unusable:
        raise StartupFailed(str(unusable)) from None
