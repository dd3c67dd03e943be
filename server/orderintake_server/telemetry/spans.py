"""Spans of calls and attempts, where the process has an OpenTelemetry SDK; otherwise nothing."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from orderintake.work.contained import Contained, tried
from orderintake_server.telemetry.traces import SPAN_END, TRACE_END

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.domain import Order

INSTRUMENTATION = "orderintake"
"""By what name OpenTelemetry knows these spans."""
REMEMBERED = 1_024
"""Of so many orders, the newest attempt is known, so that the next one can link to it."""
_ERRORS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Codes with which a server's span is an error, by OpenTelemetry's conventions for RPC; the others
are the caller's own doing."""


class Span:
    """The span of a call, or of an attempt; this one is none."""

    trace: bytes | None = None
    """Its trace context, in which it does what it does; None: it has none of its own."""

    def link(self, trace: bytes) -> None:
        """Note that what happens inside has to do with another trace."""

    def end_call(self, code: str) -> None:
        """End the span of a call that ends with this status code."""

    def end_attempt(self, code: str | None) -> None:
        """End the span of an attempt that failed with this code; empty: it succeeded.

        None: it was interrupted, and is made again.
        """


NO_SPAN = Span()


class Spans(Protocol):
    """Begins spans; each is the current one of its task until it ends."""

    def call(self, method: str, parent: bytes | None) -> Span:
        """Begin the span of a call of this method, as a child of its caller's trace context."""

    def attempt(self, order: Order, order_id: str) -> Span:
        """Begin the span of an attempt, as a child of what placed the order."""

    def leased(self, order: Order, order_id: str) -> Span:
        """Begin that of an attempt which is made elsewhere: it is no task's current one."""


class NoSpans:
    """Begins none: the trace contexts of callers pass through as they are."""

    def call(self, _: str, __: bytes | None) -> Span:
        """Keep `Spans.call`."""
        return NO_SPAN

    def attempt(self, _: Order, __: str) -> Span:
        """Keep `Spans.attempt`."""
        return NO_SPAN

    def leased(self, _: Order, __: str) -> Span:
        """Keep `Spans.leased`."""
        return NO_SPAN


def spans_of_process() -> Spans:
    """Return what begins spans: none unless OpenTelemetry's API and an SDK are there.

    It is asked once, at the start: the shop's module, or what starts the process, sets up the SDK.
    """
    try:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
    except ImportError:
        return NoSpans()
    provider = trace.get_tracer_provider()
    return NoSpans() if isinstance(provider, trace.ProxyTracerProvider) else RecordedSpans(provider)


class RecordedSpans:
    """Begins spans by OpenTelemetry's API, named by its conventions for RPC and for messaging.

    The SDK is foreign: what a sampler or a processor raises costs the span, and nothing else.
    """

    def __init__(self, provider: Any) -> None:  # noqa: ANN401 - a TracerProvider
        """Begin them with this provider."""
        from opentelemetry import context, trace  # noqa: PLC0415 - an extra

        self._api = trace
        self._contexts = context
        self._tracer = trace.get_tracer(INSTRUMENTATION, tracer_provider=provider)
        self._attempts: OrderedDict[int, Any] = OrderedDict()

    def call(self, method: str, parent: bytes | None) -> Span:
        """Keep `Spans.call`."""
        return self._begun(
            method,
            parent,
            kind=self._api.SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": method},
        )

    def attempt(self, order: Order, order_id: str) -> Span:
        """Keep `Spans.attempt`."""
        return self._attempt(order, order_id, is_current=True)

    def leased(self, order: Order, order_id: str) -> Span:
        """Keep `Spans.leased`."""
        return self._attempt(order, order_id, is_current=False)

    def _attempt(self, order: Order, order_id: str, *, is_current: bool) -> Span:
        before = self._attempts.pop(order.accept_sequence, None)
        span = self._begun(
            "process",
            order.trace,
            is_current=is_current,
            kind=self._api.SpanKind.CONSUMER,
            links=[self._api.Link(before)] if before and order.attempt_count > 1 else [],
            attributes={
                "messaging.system": INSTRUMENTATION,
                "messaging.operation.type": "process",
                "messaging.operation.name": "process",
                "orderintake.order_id": order_id,
                "orderintake.tier": order.tier.name,
                "orderintake.attempt": order.attempt_count,
            },
        )
        if span.trace is not None:
            self._remember(order.accept_sequence, self._context(span.trace))
        return span

    def _begun(
        self,
        name: str,
        parent: bytes | None,
        *,
        is_current: bool = True,
        **about: Any,  # noqa: ANN401
    ) -> Span:
        return tried(partial(self._begin, name, parent, about, is_current=is_current), NO_SPAN)

    def _begin(
        self, name: str, parent: bytes | None, about: dict[str, Any], *, is_current: bool
    ) -> Span:
        api, contexts = self._api, self._contexts
        within = contexts.Context()
        if parent is not None:
            remote = api.NonRecordingSpan(self._context(parent))
            within = api.set_span_in_context(remote, within)
        begun = self._tracer.start_span(name, within, **about)
        if not is_current:
            return _Recorded(self, begun, lambda: None)
        token = contexts.attach(api.set_span_in_context(begun))
        return _Recorded(self, begun, lambda: contexts.detach(token))

    def _remember(self, accept_sequence: int, context: Any) -> None:  # noqa: ANN401
        self._attempts[accept_sequence] = context
        if len(self._attempts) > REMEMBERED:
            self._attempts.popitem(last=False)

    def error(self, text: str | None = None) -> Any:  # noqa: ANN401
        """Return the status of a span that is an error."""
        return self._api.Status(self._api.StatusCode.ERROR, text)

    def linked(self, span: Any, trace: bytes) -> None:  # noqa: ANN401
        """Link a span to a trace context."""
        span.add_link(self._context(trace))

    def _context(self, trace: bytes) -> Any:  # noqa: ANN401
        return self._api.SpanContext(
            trace_id=int.from_bytes(trace[:TRACE_END]),
            span_id=int.from_bytes(trace[TRACE_END:SPAN_END]),
            is_remote=True,
            trace_flags=self._api.TraceFlags(trace[SPAN_END]),
        )


class _Recorded(Span):
    """A span that has begun; it ends once."""

    def __init__(self, spans: RecordedSpans, span: Any, leave: Callable[[], object]) -> None:  # noqa: ANN401
        self._spans = spans
        self._span = span
        self._leave = leave
        self.trace = tried(lambda: _trace(span.get_span_context()), None)

    def link(self, trace: bytes) -> None:
        with Contained():
            self._spans.linked(self._span, trace)

    def end_call(self, code: str) -> None:
        with Contained():
            self._span.set_attribute("rpc.response.status_code", code)
            if code in _ERRORS:
                self._span.set_attribute("error.type", code)
                self._span.set_status(self._spans.error())
        self._end()

    def end_attempt(self, code: str | None) -> None:
        with Contained():
            if code:
                self._span.set_attribute("error.type", code)
                self._span.set_status(self._spans.error(code))
        self._end()

    def _end(self) -> None:
        with Contained():
            self._span.end()
        self._leave()


def _trace(found: Any) -> bytes | None:  # noqa: ANN401 - a SpanContext
    if not found.is_valid:
        return None
    ids = found.trace_id.to_bytes(TRACE_END), found.span_id.to_bytes(SPAN_END - TRACE_END)
    return b"".join((*ids, bytes([found.trace_flags])))
