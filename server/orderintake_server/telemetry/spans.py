"""Spans of calls and attempts, where the process has an OpenTelemetry SDK; otherwise nothing."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from orderintake_server.telemetry.traces import SPAN_END, TRACE_END

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class CallSpan:
    """The span of a call that is served; this one is none."""

    trace: bytes | None = None
    """The trace context of what the call does; None: that of its caller."""

    def end(self, code: str) -> None:
        """Note the status code that the call ends with."""


class Spans(Protocol):
    """Makes spans."""

    def call(self, method: str, parent: bytes | None) -> AbstractContextManager[CallSpan]:
        """Serve a call of this method inside, as a child of its caller's trace context."""

    def attempt(self, order: Order, order_id: str) -> AbstractContextManager[object]:
        """Make an attempt inside, as a child of what placed the order."""


class NoSpans:
    """Makes none: the trace contexts of callers pass through as they are."""

    _CALL = nullcontext(CallSpan())
    _ATTEMPT = nullcontext()

    def call(self, _: str, __: bytes | None) -> AbstractContextManager[CallSpan]:
        """Keep `Spans.call`."""
        return self._CALL

    def attempt(self, _: Order, __: str) -> AbstractContextManager[object]:
        """Keep `Spans.attempt`."""
        return self._ATTEMPT


def spans() -> Spans:
    """Return what makes spans: none unless OpenTelemetry's API and an SDK are there.

    It is asked once, at the start: the shop's module, or what starts the process, sets up the SDK.
    """
    try:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
    except ImportError:
        return NoSpans()
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return NoSpans()
    return RecordedSpans(trace)


class RecordedSpans:
    """Makes spans by OpenTelemetry's API, named by its conventions for RPC and for messaging."""

    def __init__(self, api: Any) -> None:  # noqa: ANN401 - the module opentelemetry.trace
        """Make them with the provider that the process has set."""
        self._api = api
        self._tracer = api.get_tracer(INSTRUMENTATION)
        self._attempts: OrderedDict[int, Any] = OrderedDict()

    @contextmanager
    def call(self, method: str, parent: bytes | None) -> Iterator[CallSpan]:
        """Keep `Spans.call`."""
        with self._tracer.start_as_current_span(
            method,
            context=self._context(parent),
            kind=self._api.SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": method},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield _Recorded(self._api, span)

    @contextmanager
    def attempt(self, order: Order, order_id: str) -> Iterator[object]:
        """Keep `Spans.attempt`."""
        before = self._attempts.pop(order.accept_sequence, None)
        with self._tracer.start_as_current_span(
            "process",
            context=self._context(order.trace),
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
        ) as span:
            self._remember(order.accept_sequence, span.get_span_context())
            yield span

    def _remember(self, accept_sequence: int, context: Any) -> None:  # noqa: ANN401
        self._attempts[accept_sequence] = context
        if len(self._attempts) > REMEMBERED:
            self._attempts.popitem(last=False)

    def _context(self, trace: bytes | None) -> Any:  # noqa: ANN401
        """Return the context that a span of this trace begins in: of none, it begins a new one."""
        from opentelemetry.context import Context  # noqa: PLC0415 - an extra

        if trace is None:
            return Context()
        parent = self._api.SpanContext(
            trace_id=int.from_bytes(trace[:TRACE_END]),
            span_id=int.from_bytes(trace[TRACE_END:SPAN_END]),
            is_remote=True,
            trace_flags=self._api.TraceFlags(trace[SPAN_END]),
        )
        return self._api.set_span_in_context(self._api.NonRecordingSpan(parent), Context())


@dataclass(slots=True)
class _Recorded(CallSpan):
    api: Any
    span: Any
    trace: bytes | None = None

    def __post_init__(self) -> None:
        found = self.span.get_span_context()
        self.trace = b"".join(
            (
                found.trace_id.to_bytes(TRACE_END),
                found.span_id.to_bytes(SPAN_END - TRACE_END),
                bytes([found.trace_flags]),
            )
        )

    def end(self, code: str) -> None:
        self.span.set_attribute("rpc.response.status_code", code)
        if code in _ERRORS:
            self.span.set_status(self.api.StatusCode.ERROR)
