"""Each call has one line in the access log; and what is logged of an order or a call names it."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.calls import recorder
from orderintake_server.handlers import OrderAttempt
from orderintake_server.intake import Intake
from orderintake_server.logger import get_logger
from orderintake_server.metrics import CALL
from orderintake_server.telemetry import configure_log
from support import http_listener
from support.callers import bearing, entry, key_of, write_access
from support.connect import JSON, asked
from support.in_process import Stub, completions, listening, serving
from support.orders import order

TRACE = "0af7651916cd43dd8448eb211c80319c"
IN_TRACE = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),)
SERVICE = "orderintake.v1.OrderIntakeService/"

Entry = dict[str, Any]


@contextmanager
def logged(level: str = "debug") -> Iterator[Callable[[str], list[Entry]]]:
    """Write the log of this process into memory while inside; give what finds entries of a text."""
    lines: list[str] = []
    configure_log(form="json", level=level, write=lines.append)
    yield lambda event: [found for found in map(json.loads, lines) if found["event"] == event]


def without(entry: Entry, *names: str) -> Entry:
    return {name: value for name, value in entry.items() if name not in names}


async def fails(call: Any) -> None:  # noqa: ANN401 - a call of any method
    with pytest.raises(grpc.aio.AioRpcError):
        await call


async def test_a_placed_order_is_one_line(tmp_path: Path) -> None:
    with logged() as entries:
        async with serving(tmp_path, workers=0) as stub:
            receipt = await stub.PlaceOrder(order(), metadata=IN_TRACE)
        (line,) = entries("call")
    assert line.pop("milliseconds") > 0
    assert without(line, "timestamp") == {
        "event": "call",
        "level": "debug",
        "method": SERVICE + "PlaceOrder",
        "code": "OK",
        "caller": "anybody",
        "customer_id": "ada",
        "accept_sequence": 1,
        "order_id": receipt.order.order_id,
        "trace_id": TRACE,
    }


async def test_p26_a_call_by_http_has_the_same_line(tmp_path: Path) -> None:
    with logged() as entries:
        async with http_listener.listening(tmp_path) as port:
            body = {"customerId": "ada", "lines": [{"sku": "tea", "quantity": 1}]}
            answer = await asked(port, f"/{SERVICE}PlaceOrder", body, JSON | dict(IN_TRACE))
            await asked(port, f"/{SERVICE}PlaceOrder", {})
        placed, refused = entries("call")
    assert placed.pop("milliseconds") > 0
    assert without(placed, "timestamp") == {
        "event": "call",
        "level": "debug",
        "method": SERVICE + "PlaceOrder",
        "code": "OK",
        "caller": "anybody",
        "customer_id": "ada",
        "accept_sequence": 1,
        "order_id": answer.json["order"]["orderId"],
        "trace_id": TRACE,
    }
    assert (refused["code"], refused["reason"]) == ("INVALID_ARGUMENT", "INVALID_ORDER")


async def every_method(stub: Stub, operator: Any) -> str:  # noqa: ANN401
    """Make a call of each kind about ada's first order; give its id."""
    receipt = await stub.PlaceOrder(order())
    order_id = receipt.order.order_id
    batch = [order(customer_id=each) for each in ("ada", "bob")]
    await stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=batch))
    await stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=batch[:1]))
    await stub.GetOrder(api.GetOrderRequest(order_id=order_id))
    await stub.CancelOrder(api.CancelOrderRequest(order_id=order_id))
    await operator.RedriveOrder(admin.RedriveOrderRequest(order_id=order_id))
    await operator.ListOperatorActions(admin.ListOperatorActionsRequest(order_id=order_id))
    await stub.ListOrders(api.ListOrdersRequest(customer_id="ada"))
    await stub.ListCompletions(api.ListCompletionsRequest())
    await fails(stub.GetOrder(api.GetOrderRequest(order_id="none")))
    return order_id


async def test_a_line_names_what_the_call_is_about(tmp_path: Path) -> None:
    with logged() as entries:
        async with (
            listening(tmp_path, workers=0) as (address, stub),
            grpc.aio.insecure_channel(address) as channel,
        ):
            operator = admin_grpc.OrderAdminServiceStub(channel)
            order_id = await every_method(stub, operator)
        told = [
            (
                line["method"].partition("/")[2],
                line.get("customer_id"),
                line.get("order_id") == order_id,
                line.get("orders"),
            )
            for line in entries("call")
        ]
    assert told == [
        ("PlaceOrder", "ada", True, None),
        ("BatchPlaceOrders", None, False, 2),
        ("BatchPlaceOrders", "ada", False, 1),
        ("GetOrder", "ada", True, None),
        ("CancelOrder", "ada", True, None),
        ("RedriveOrder", "ada", True, None),
        ("ListOperatorActions", None, True, None),
        ("ListOrders", "ada", False, None),
        ("ListCompletions", None, False, None),
        ("GetOrder", None, False, None),
    ]


@pytest.mark.parametrize(
    ("level", "log_level", "count"),
    [("debug", "debug", 1), ("debug", "info", 0), ("warning", "info", 1), ("off", "debug", 0)],
)
async def test_there_are_lines_where_they_are_wanted(
    level: str, log_level: str, count: int, tmp_path: Path
) -> None:
    with logged(log_level) as entries:
        async with serving(tmp_path, workers=0, access_log=level) as stub:
            await stub.PlaceOrder(order())
        assert [line["level"] for line in entries("call")] == [level] * count


async def test_no_line_of_the_access_log_is_folded(tmp_path: Path) -> None:
    with logged() as entries:
        async with serving(tmp_path, workers=0) as stub:
            for _ in range(20):
                await fails(stub.GetOrder(api.GetOrderRequest(order_id="none")))
        lines = entries("call")
    assert len(lines) == 20
    assert {(line["code"], line["reason"]) for line in lines} == {("NOT_FOUND", "ORDER_NOT_FOUND")}


async def test_a_line_names_its_caller_and_why_it_was_refused(tmp_path: Path) -> None:
    access = write_access(tmp_path / "access.toml", [entry("watch", "observer")])
    with logged() as entries:
        async with serving(tmp_path, workers=0, access=access) as stub:
            await fails(stub.PlaceOrder(order()))
            await fails(stub.PlaceOrder(order(), metadata=bearing(key_of("watch"))))
        strange, known = entries("call")
    assert (strange["code"], strange["reason"]) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert "caller" not in strange
    assert (known["code"], known["reason"]) == ("PERMISSION_DENIED", "NOT_ALLOWED")
    assert known["caller"] == "watch"


async def test_an_incident_has_the_same_fields_in_all_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Intake, "place", breaks)
    with logged() as entries:
        async with serving(tmp_path, workers=0) as stub:
            await fails(stub.PlaceOrder(order(), metadata=IN_TRACE))
        (bug,), (line,) = entries("call failed: internal error"), entries("call")
    assert (line["code"], line["reason"]) == ("INTERNAL", "INTERNAL")
    assert line["incident_id"] == bug["incident_id"]
    for name in ("customer_id", "trace_id", "caller"):
        assert bug[name] == line[name]


async def test_what_is_logged_of_an_attempt_names_its_trace(tmp_path: Path) -> None:
    async def fail(order: OrderAttempt) -> None:
        get_logger().info("baking")
        raise OSError

    with logged() as entries:
        async with serving(tmp_path, handler=fail) as stub:
            receipt = await stub.PlaceOrder(order(), metadata=IN_TRACE)
            await stub.PlaceOrder(order(customer_id="bob"))
            (completion, _) = await completions(stub, 2)
        names = {
            "order_id": receipt.order.order_id,
            "customer_id": "ada",
            "attempt": 1,
            "trace_id": TRACE,
        }
        for event in ("baking", "attempt failed"):
            first, second = entries(event)
            assert {**first, **names} == first
            assert second["customer_id"] == "bob"
            assert "trace_id" not in second
        assert entries("attempt failed")[0]["incident_id"] in completion.failure.message


def test_lines_that_nobody_wants_are_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_log(form="json", level="info", write=print)
    monkeypatch.setattr(recorder, "access_log", None)
    assert recorder.Recorder().level == logging.DEBUG
    recorder.Recorder().of("method", CALL, is_traced=True).begin(None).end()
