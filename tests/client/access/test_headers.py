"""The span that is active where a call is made goes along, if the program has OpenTelemetry."""

import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

from client.blocking import Connect
from client.fake_server import FakeServer
from orderintake import AsyncClient
from orderintake.access.headers import headers, traceparent

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0x00F067AA0BA902B7
TOLD = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


@pytest.fixture
def span() -> Iterator[None]:
    """A span is active."""
    context = trace.SpanContext(TRACE, SPAN, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        yield


def test_without_a_span_nothing_goes_along(server: FakeServer, connect: Connect) -> None:
    assert traceparent() is None
    with connect(server.target) as client:
        client.get("order-1")
    assert "traceparent" not in server.servicer.metadata[0]


@pytest.mark.usefixtures("span")
def test_the_active_span_goes_along_beside_the_key(server: FakeServer, connect: Connect) -> None:
    assert headers("t1") == (("authorization", "Bearer t1"), ("traceparent", TOLD))
    assert headers(None) == (("traceparent", TOLD),)
    with connect(server.target, token=lambda: "t1") as client:
        client.place(customer_id="ada", lines={"tea": 1})
        with client.completions(from_latest=True):
            pass
    for metadata in server.servicer.metadata:
        assert (metadata["traceparent"], metadata["authorization"]) == (TOLD, "Bearer t1")


async def test_each_task_has_its_own(server: FakeServer) -> None:
    async with AsyncClient(server.target) as client:
        for number in (1, 2):
            context = trace.SpanContext(number, SPAN, is_remote=False)
            with trace.use_span(trace.NonRecordingSpan(context)):
                await client.get("order-1")
    told = [metadata["traceparent"][:35] for metadata in server.servicer.metadata]
    assert told == [f"00-{1:032x}", f"00-{2:032x}"]


@pytest.mark.usefixtures("span")
def test_opentelemetry_that_is_just_being_imported_is_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    half: Any = types.ModuleType("opentelemetry.trace")
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", half)
    assert traceparent() is None


def test_the_library_does_not_import_it() -> None:
    code = "import orderintake, sys; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
