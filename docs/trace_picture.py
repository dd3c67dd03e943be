"""Draws docs/trace.svg: the recorded trace of one order, from its caller to a subscriber.

.venv/bin/python docs/trace_picture.py [FILE]

A server runs in this process, with a handler that fails at first. Caller and subscriber record
spans as their own programs would. The boxes are these spans, drawn to scale.
"""

import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

import grpc
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2
from orderintake_server.config import Settings
from orderintake_server.handlers import OrderAttempt, Shop
from orderintake_server.service import running
from orderintake_server.telemetry.spans import RecordedSpans

PICTURE = Path(__file__).with_name("trace.svg")
PLACE = "orderintake.v1.OrderIntakeService/PlaceOrder"
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="13"'
WIDTH, LEFT, ROW, TOP, LEAST = 960, 330, 44, 64, 5
SERVICES = {"caller": "#7b5ea7", "server": "#2f6fb0", "shop": "#3c8d5a", "subscriber": "#b0742f"}
"""Who records spans, and the colour of each."""
FAILED = "#c0392b"
WRITER = TraceContextTextMapPropagator()


class Span(NamedTuple):
    """A span as it is drawn."""

    service: str
    name: str
    depth: int
    begin: float
    end: float
    """Milliseconds since the trace began."""
    note: str
    is_error: bool
    span_id: int
    linked: int
    """The span that it is linked to; 0 for none."""


class Recording:
    """The spans of all who take part, recorded in memory."""

    def __init__(self) -> None:
        """Begin with none."""
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def tracer(self, service: str) -> Tracer:
        """Return a tracer of one of the services."""
        return self.provider.get_tracer(service)

    def of_trace(self, trace_id: int) -> list[ReadableSpan]:
        """Return the spans of one trace, the earliest begun first."""
        found = [
            span for span in self._exporter.get_finished_spans() if context(span)[0] == trace_id
        ]
        return sorted(found, key=lambda span: span.start_time or 0)


def context(span: ReadableSpan) -> tuple[int, int]:
    """Return the ids of a span: of its trace, and its own."""
    found = span.get_span_context()
    return (found.trace_id, found.span_id) if found else (0, 0)


async def recorded(data: str) -> list[ReadableSpan]:
    """Place an order whose first attempt fails; return its whole trace."""
    recording = Recording()
    shop = recording.tracer("shop")

    async def handler(order: OrderAttempt) -> None:
        with shop.start_as_current_span("bake"):
            await asyncio.sleep(0.02 + random.uniform(0, 0.005))
            if order.attempt == 1:
                raise ConnectionError("the oven does not answer")

    settings = Settings(
        listen=("127.0.0.1:0",), data=Path(data), workers=1, max_attempts=2, retry_delay=0.03
    )
    spans = RecordedSpans(recording.provider)
    async with (
        running(settings, shop=Shop(handler=handler), spans=lambda: spans) as service,
        grpc.aio.insecure_channel(service.addresses[0]) as channel,
    ):
        stub = api_grpc.OrderIntakeServiceStub(channel)
        reading = asyncio.create_task(subscribe(stub, recording.tracer("subscriber")))
        trace_id = await buy(stub, recording.tracer("caller"))
        await reading
    return recording.of_trace(trace_id)


async def buy(stub: "api_grpc.OrderIntakeServiceAsyncStub", tracer: Tracer) -> int:
    """Place an order in a span, as a caller does; return its trace."""
    with tracer.start_as_current_span(PLACE, kind=SpanKind.CLIENT) as span:
        headers: dict[str, str] = {}
        WRITER.inject(headers)
        request = api.PlaceOrderRequest(
            customer_id="ada", lines=[order_pb2.OrderLine(sku="cake", quantity=1)]
        )
        await stub.PlaceOrder(request, metadata=tuple(headers.items()))
        return span.get_span_context().trace_id


async def subscribe(stub: "api_grpc.OrderIntakeServiceAsyncStub", tracer: Tracer) -> None:
    """Handle the completion in a span, as a subscriber does."""
    stream = stub.StreamCompletions(api.StreamCompletionsRequest())
    async for message in stream:
        for completion in message.completions:
            parent = WRITER.extract({"traceparent": completion.traceparent})
            with tracer.start_as_current_span("deliver", parent, kind=SpanKind.CONSUMER):
                await asyncio.sleep(0.008)
            stream.cancel()
            return


def drawn(spans: list[ReadableSpan]) -> Iterator[Span]:
    """Give each span as it is drawn."""
    began = spans[0].start_time or 0
    depths: dict[int, int] = {}
    for span in spans:
        _, span_id = context(span)
        depths[span_id] = depths[span.parent.span_id] + 1 if span.parent else 0
        scope = span.instrumentation_scope.name if span.instrumentation_scope else ""
        yield Span(
            service="server" if scope == "orderintake" else scope,
            name=named(span),
            depth=depths[span_id],
            begin=((span.start_time or 0) - began) / 1e6,
            end=((span.end_time or 0) - began) / 1e6,
            note=noted(span),
            is_error=span.status.status_code is StatusCode.ERROR,
            span_id=span_id,
            linked=span.links[0].context.span_id if span.links else 0,
        )


def named(span: ReadableSpan) -> str:
    """Give a span's name, with its kind where it has one, and the attempt."""
    attempt = (span.attributes or {}).get("orderintake.attempt")
    name = span.name.rpartition("/")[2] + (f", attempt {attempt}" if attempt else "")
    return name if span.kind is SpanKind.INTERNAL else f"{span.kind.name} {name}"


def noted(span: ReadableSpan) -> str:
    """Give what is told of how a span ended."""
    told = span.attributes or {}
    return str(told.get("error.type") or told.get("rpc.response.status_code") or "")


def svg(spans: list[Span], trace_id: int) -> str:
    """Draw the spans, one below the other, on a common line of time."""
    height = TOP + ROW * len(spans) + 34
    whole = max(span.end for span in spans)
    scale = (WIDTH - LEFT - 110) / whole
    rows = {span.span_id: number for number, span in enumerate(spans)}
    parts = [
        f'{HEAD} viewBox="0 0 {WIDTH} {height}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="28" font-size="16">One order, one trace: {trace_id:032x}</text>',
        *axis(whole, scale, height),
        *(part for number, span in enumerate(spans) for part in box(span, number, scale)),
        *(arrow(spans[rows[s.linked]], s, rows, scale) for s in spans if s.linked in rows),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def axis(whole: float, scale: float, height: int) -> Iterator[str]:
    """Draw the line of time."""
    for step in range(5):
        at = whole * step / 4
        x = LEFT + at * scale
        yield f'<path d="M{x:.1f} {TOP - 14}V{height - 26}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle">{at:.1f} ms</text>'


def box(span: Span, number: int, scale: float) -> Iterator[str]:
    """Draw one span: who recorded it and its name on the left, its time on the right."""
    y, x = TOP + number * ROW, LEFT + span.begin * scale
    width = max((span.end - span.begin) * scale, LEAST)
    edge = f' stroke="{FAILED}" stroke-width="2"' if span.is_error else ""
    yield f'<text x="{16 + 14 * span.depth}" y="{y + 10}">{escape(span.name)}</text>'
    yield (
        f'<text x="{16 + 14 * span.depth}" y="{y + 25}" font-size="11" fill="#555">'
        f"{escape(span.service)} · {span.end - span.begin:.1f} ms</text>"
    )
    yield (
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="22" rx="3" '
        f'fill="{SERVICES[span.service]}"{edge}/>'
    )
    colour = FAILED if span.is_error else "#555"
    yield (
        f'<text x="{x + width + 6:.1f}" y="{y + 15}" font-size="11" fill="{colour}">'
        f"{escape(span.note)}</text>"
    )


def arrow(source: Span, span: Span, rows: dict[int, int], scale: float) -> str:
    """Draw the link from a span to the one before it."""
    from_y, to_y = TOP + rows[span.span_id] * ROW, TOP + rows[source.span_id] * ROW + 22
    from_x = LEFT + span.begin * scale + 2
    to_x = LEFT + source.end * scale - 2
    return (
        f'<path d="M{from_x:.1f} {from_y}L{to_x:.1f} {to_y}" fill="none" stroke="#555" '
        'stroke-dasharray="4 3"/>'
        f'<text x="{(from_x + to_x) / 2 + 6:.1f}" y="{(from_y + to_y) / 2:.1f}" font-size="11" '
        'fill="#555">linked</text>'
    )


def main() -> None:
    """Record a trace and draw it."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    with tempfile.TemporaryDirectory() as data:
        spans = asyncio.run(recorded(data))
    target.write_text(svg(list(drawn(spans)), context(spans[0])[0]), encoding="utf-8")
    print(f"{target}: {len(spans)} spans")


if __name__ == "__main__":
    main()
