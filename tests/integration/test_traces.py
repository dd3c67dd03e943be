"""One trace leads from a caller to its order's handler, and on to the subscriber."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import SpanKind, StatusCode

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake.v1 import order_work_service_pb2 as work
from orderintake.work import Reject
from orderintake_server.handlers import OrderAttempt, simulate
from orderintake_server.telemetry.spans import (
    NO_SPAN,
    REMEMBERED,
    NoSpans,
    RecordedSpans,
    spans_of_process,
)
from support.hand import Hand
from support.in_process import completions, read, serving
from support.orders import order
from support.spans import PLACE, Recorded, context_of, parent_id, recorded_serving, stub_of
from support.spans import traceparent as written

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"


def placed_in(traceparent: str) -> tuple[tuple[str, str], ...]:
    return (("traceparent", traceparent),)


class Oven:
    """A handler that fails at first, and records a span of its own."""

    def __init__(self, recorded: Recorded) -> None:
        self._tracer = recorded.tracer("shop")

    def bake(self, order: OrderAttempt) -> None:
        with self._tracer.start_as_current_span("bake"):
            if order.attempt == 1:
                raise OSError("the oven is cold")

    async def bake_in_loop(self, order: OrderAttempt) -> None:
        self.bake(order)


@pytest.mark.parametrize("kind", ["bake", "bake_in_loop"])
async def test_one_trace_leads_from_the_caller_over_two_attempts_to_the_subscriber(
    kind: str, tmp_path: Path
) -> None:
    recorded = Recorded()
    tracer = recorded.tracer("caller")
    handler = getattr(Oven(recorded), kind)
    async with recorded_serving(tmp_path, recorded, handler, max_attempts=2) as channel:
        stub = stub_of(channel)
        with tracer.start_as_current_span("buy", kind=SpanKind.CLIENT) as caller:
            metadata = placed_in(written(caller.get_span_context()))
            await stub.PlaceOrder(order(), metadata=metadata)
        (completion,) = await completions(stub, 1)
    served = recorded.one(PLACE)
    first, second = recorded.named("process")
    assert {context_of(each).trace_id for each in (served, first, second)} == {
        caller.get_span_context().trace_id
    }
    assert parent_id(served) == caller.get_span_context().span_id
    assert (served.kind, first.kind) == (SpanKind.SERVER, SpanKind.CONSUMER)
    assert parent_id(first) == parent_id(second) == context_of(served).span_id
    assert not first.links
    (link,) = second.links
    assert link.context.span_id == context_of(first).span_id
    assert [parent_id(span) for span in recorded.named("bake")] == [
        context_of(first).span_id,
        context_of(second).span_id,
    ]
    assert completion.traceparent == written(context_of(served))
    assert (first.status.status_code, second.status.status_code) == (
        StatusCode.ERROR,
        StatusCode.UNSET,
    )
    assert first.attributes is not None
    assert first.attributes["error.type"] == "HANDLER_ERROR"
    assert served.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": PLACE,
        "rpc.response.status_code": "OK",
    }


async def test_a_span_of_an_attempt_names_the_order_and_nothing_in_it(tmp_path: Path) -> None:
    recorded = Recorded()

    async def reject(_: OrderAttempt) -> None:
        raise Reject("NO_TEA", "secret text")

    async with recorded_serving(tmp_path, recorded, reject) as channel:
        stub = stub_of(channel)
        receipt = await stub.PlaceOrder(order("secret-sku", labels={"secret": "label"}, vip=True))
        await completions(stub, 1)
    span = recorded.one("process")
    assert span.attributes == {
        "messaging.system": "orderintake",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "orderintake.order_id": receipt.order.order_id,
        "orderintake.tier": "VIP",
        "orderintake.attempt": 1,
        "error.type": "NO_TEA",
    }
    assert "secret" not in "".join(each.to_json() for each in recorded.ended)


CODES = {code.name for code in grpc.StatusCode}
ERRORS = {
    *("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
}


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_servers_span_is_an_error_only_when_the_server_is_to_blame(code: str) -> None:
    recorded = Recorded()
    recorded.spans().call("method", None).end_call(code)
    (span,) = recorded.ended
    assert (span.status.status_code is StatusCode.ERROR) is (code in ERRORS)
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == code
    assert not trace.get_current_span().get_span_context().is_valid


async def test_a_refused_call_an_unknown_method_and_a_stream_end_with_their_codes(
    tmp_path: Path,
) -> None:
    recorded = Recorded()
    async with recorded_serving(tmp_path, recorded, lambda _: None, workers=0) as channel:
        stub = stub_of(channel)
        unknown: Any = channel.unary_unary("/some/Thing")
        health: Any = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.PlaceOrder(api.PlaceOrderRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await unknown(b"")
        stream = stub.StreamCompletions(api.StreamCompletionsRequest())
        await read(stream)
        stream.cancel()
        await health.Check(health_pb2.HealthCheckRequest())
    ended = {
        span.name: (span.attributes or {})["rpc.response.status_code"] for span in recorded.ended
    }
    assert ended == {
        PLACE: "INVALID_ARGUMENT",
        "_OTHER": "UNIMPLEMENTED",
        "orderintake.v1.OrderIntakeService/StreamCompletions": "CANCELLED",
    }


async def test_a_redriven_copy_is_in_the_operators_trace_linked_to_the_originals(
    tmp_path: Path,
) -> None:
    recorded = Recorded()

    async def fail_once(order: OrderAttempt) -> None:
        if not order.redrive_of:
            raise Reject("NO_TEA", "no tea")

    async with recorded_serving(tmp_path, recorded, fail_once) as channel:
        stub = stub_of(channel)
        receipt = await stub.PlaceOrder(order(), metadata=placed_in(HEADER))
        await completions(stub, 1)
        request = admin.RedriveOrderRequest(order_id=receipt.order.order_id)
        operator = admin_grpc.OrderAdminServiceStub(channel)
        await operator.RedriveOrder(request, metadata=placed_in(OTHER))
        _, copy = await completions(stub, 2)
    redrive = recorded.one("orderintake.v1.OrderAdminService/RedriveOrder")
    placed = recorded.one(PLACE)
    assert [link.context.span_id for link in redrive.links] == [context_of(placed).span_id]
    assert copy.traceparent == written(context_of(redrive))
    assert copy.traceparent[:36] == OTHER[:36]
    assert parent_id(recorded.named("process")[1]) == context_of(redrive).span_id


async def test_without_an_sdk_the_callers_own_context_goes_on_and_no_span_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*_: object, **__: object) -> None:
        raise AssertionError

    seen: list[str] = []
    monkeypatch.setattr(RecordedSpans, "__init__", made)
    monkeypatch.setattr(trace, "NonRecordingSpan", made)

    async def handler(order: OrderAttempt) -> None:
        seen.append(order.traceparent)

    async with serving(tmp_path, handler=handler) as stub:
        await stub.PlaceOrder(order(), metadata=placed_in(HEADER))
        await stub.PlaceOrder(order())
        first, second = await completions(stub, 2)
    assert (first.traceparent, second.traceparent) == (HEADER, "")
    assert seen == [HEADER, ""]
    none = NoSpans()
    placed: Any = None
    assert none.call("method", None) is none.attempt(placed, "") is NO_SPAN


def test_without_the_api_there_are_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert isinstance(spans_of_process(), NoSpans)


def test_with_an_sdk_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", Recorded().provider)
    assert isinstance(spans_of_process(), RecordedSpans)


@pytest.mark.parametrize("has_sdk", [False, True])
async def test_a_repeat_keeps_the_trace_of_the_first(has_sdk: bool, tmp_path: Path) -> None:  # noqa: FBT001
    recorded = Recorded()
    spans = recorded if has_sdk else NoneRecorded()
    async with recorded_serving(tmp_path, spans, lambda _: None) as channel:
        stub = stub_of(channel)
        for header in (HEADER, OTHER):
            request = order(request_id="the same")
            await stub.PlaceOrder(request, metadata=placed_in(header))
        (completion,) = await completions(stub, 1)
    first = written(context_of(recorded.named(PLACE)[0])) if has_sdk else HEADER
    assert completion.traceparent == first
    assert completion.traceparent[:36] == HEADER[:36]


class NoneRecorded(Recorded):
    """Stands for a process without an SDK."""

    def spans(self) -> Any:  # noqa: ANN401 - no RecordedSpans
        return NoSpans()


HOSTILE: dict[str, tuple[tuple[str, str | bytes], ...]] = {
    "huge": (("traceparent", HEADER + "-" + "0" * 5_000),),
    "many": (("traceparent", HEADER),) * 60 + (("traceparent", "-"),),
    "a list": (("traceparent", f"{HEADER},{OTHER}"),),
    "bytes": (("traceparent-bin", bytes(range(256)) * 8),),
    "empty": (("traceparent", ""),),
    "signs": (("traceparent", "~!@#$%^&*()_+{}|:<>? " * 20),),
    "zeros": (("traceparent", f"00-{'0' * 32}-{'0' * 16}-00"),),
    "a version that is none": (("traceparent", "ff" + HEADER[2:]),),
    "tracestate": (("tracestate", "a=" + "b" * 5_000), ("baggage", "c=" + "d" * 1_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_header_breaks_a_call(name: str, tmp_path: Path) -> None:
    recorded = Recorded()
    async with recorded_serving(tmp_path, recorded, lambda _: None) as channel:
        stub = stub_of(channel)
        await stub.PlaceOrder(order(), metadata=HOSTILE[name])
        (completion,) = await completions(stub, 1)
    served = recorded.one(PLACE)
    assert served.parent is None
    assert completion.traceparent == written(context_of(served))


class Broken(Sampler):
    """The shop's own sampler, which fails."""

    def should_sample(self, *_: object, **__: object) -> Any:  # noqa: ANN401
        raise SystemExit(3)

    def get_description(self) -> str:
        return "broken"


async def test_an_sdk_that_raises_costs_the_spans_and_nothing_else(tmp_path: Path) -> None:
    recorded = Recorded(sampler=Broken())
    async with recorded_serving(tmp_path, recorded, lambda _: None) as channel:
        stub = stub_of(channel)
        await stub.PlaceOrder(order(), metadata=placed_in(HEADER))
        (completion,) = await completions(stub, 1)
    assert completion.traceparent == HEADER
    assert recorded.ended == []


class Raising:
    """A span whose every method fails."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        raise KeyboardInterrupt


async def test_a_span_that_raises_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    spans: Any = Recorded().spans()
    monkeypatch.setattr(spans._tracer, "start_span", lambda *_, **__: Raising())  # noqa: SLF001
    for _ in range(2):
        span = spans.call("method", None)
        span.link(bytes(25))
        span.end_call("INTERNAL")
        spans.call("method", None).end_attempt("FAILED")
    assert not isinstance(trace.get_current_span(), Raising)


async def test_an_interrupted_attempt_is_no_error(tmp_path: Path) -> None:
    recorded, begun = Recorded(), asyncio.Event()

    async def wait(_: OrderAttempt) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with recorded_serving(tmp_path, recorded, wait, drain_timeout=0.0) as channel:
        await stub_of(channel).PlaceOrder(order())
        await begun.wait()
    assert recorded.one("process").status.status_code is StatusCode.UNSET


async def test_an_attempt_of_a_worker_is_a_span_from_its_lease_to_its_outcome(
    tmp_path: Path,
) -> None:
    recorded = Recorded()
    async with recorded_serving(tmp_path, recorded, simulate, workers=0) as channel:
        await stub_of(channel).PlaceOrder(order(), metadata=placed_in(HEADER))
        me = Hand(channel)
        (leased,) = (await me.leases()).orders
        assert leased.traceparent.split("-")[1] == HEADER.split("-")[1]
        assert not recorded.named("process")
        cold = order_pb2.Failure(code="OVEN_COLD")
        await me.leases(work.Outcome(lease=leased.lease, rejected=cold), slots=0)
        span = recorded.one("process")
        assert (span.kind, span.status.status_code) == (SpanKind.CONSUMER, StatusCode.ERROR)
        assert (span.attributes or {})["error.type"] == "OVEN_COLD"
        assert context_of(span).trace_id == int(HEADER.split("-")[1], 16)
        assert not trace.get_current_span().get_span_context().is_valid


def test_of_few_orders_only_the_latest_attempt_is_remembered() -> None:
    recorded = Recorded()
    spans: Any = recorded.spans()
    for number in range(2 * REMEMBERED):
        spans._remember(number, object())  # noqa: SLF001
    assert len(spans._attempts) == REMEMBERED  # noqa: SLF001
