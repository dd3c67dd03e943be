"""Spans that a server records, kept in memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, Tracer

from orderintake_server.config import Settings
from orderintake_server.handlers import OrderAttempt, Shop
from orderintake_server.service import running
from orderintake_server.telemetry.spans import RecordedSpans
from support.in_process import Stub

PLACE = "orderintake.v1.OrderIntakeService/PlaceOrder"


class Recorded:
    """What was recorded; callers and subscribers record here too."""

    def __init__(self, **provider: Any) -> None:  # noqa: ANN401 - whatever a TracerProvider takes
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**provider)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def spans(self) -> RecordedSpans:
        """Give what a server begins its spans with."""
        return RecordedSpans(self.provider)

    def tracer(self, name: str) -> Tracer:
        """Give a tracer of somebody else, in the same process."""
        return self.provider.get_tracer(name)

    @property
    def ended(self) -> list[ReadableSpan]:
        """Every span that has ended, the earliest begun first."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        """Give those of a name."""
        return [span for span in self.ended if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Give the only one of a name."""
        (span,) = self.named(name)
        return span


@asynccontextmanager
async def recorded_serving(
    data: Path,
    recorded: Recorded,
    handler: Callable[[OrderAttempt], Any],
    **settings: Any,  # noqa: ANN401 - whatever Settings take
) -> AsyncIterator[grpc.aio.Channel]:
    """Run a server that records its spans; give a channel to it."""
    chosen = Settings(
        listen=("127.0.0.1:0",),
        data=data,
        **{"workers": 1, "retry_delay": 0.0, "drain_timeout": 5.0, **settings},
    )
    shop = Shop(handler=handler)
    async with (
        running(chosen, shop=shop, spans=recorded.spans) as service,
        grpc.aio.insecure_channel(service.addresses[0]) as channel,
    ):
        yield channel


def stub_of(channel: grpc.aio.Channel) -> Stub:
    """Give a stub of a channel."""
    return Stub(channel)


def context_of(span: ReadableSpan) -> SpanContext:
    """Give the context of a span that has one."""
    found = span.get_span_context()
    assert isinstance(found, SpanContext)
    return found


def traceparent(context: SpanContext) -> str:
    """Write a context as the header."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def parent_id(span: ReadableSpan) -> int:
    """Give the id of a span's parent; 0 for none."""
    return span.parent.span_id if span.parent else 0
