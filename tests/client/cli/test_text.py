"""What the command line shows."""

import json
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, wrappers_pb2
from rich.console import Console, RenderableType

from client.fake_server import completion
from orderintake import (
    Completion,
    GetOrderResponse,
    InvalidOrder,
    Order,
    PlaceOrderResponse,
    State,
)
from orderintake.cli.json_output import error_json, json_line
from orderintake.cli.tables import order_table
from orderintake.cli.text import completion_text, error_text, receipt_text
from orderintake.status import FieldViolation, Status

UNKNOWN = any_pb2.Any(type_url="type.googleapis.com/shop.Cake", value=b"\x01\x02")
DAMAGED = any_pb2.Any(type_url="type.googleapis.com/google.protobuf.StringValue", value=b"\xff")


def shown(view: RenderableType) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view, soft_wrap=True)
    return capture.get()


def as_json(message: Completion | GetOrderResponse) -> Any:  # noqa: ANN401 - JSON
    return json.loads(json_line(message))


def test_json_has_the_contracts_field_names_and_the_cursor() -> None:
    found = as_json(completion(1))
    assert found["cursor"] == "c1"
    assert found["order"]["order_id"] == "order-1"
    assert "\n" not in json_line(completion(1))


def test_an_any_of_a_known_type_is_shown_opened() -> None:
    known = completion(1)
    known.result.Pack(wrappers_pb2.StringValue(value="done"))
    assert as_json(known)["result"]["value"] == "done"


@pytest.mark.parametrize("packed", [UNKNOWN, DAMAGED], ids=["unknown", "damaged"])
def test_an_any_that_cannot_be_opened_is_shown_as_its_bytes(packed: any_pb2.Any) -> None:
    closed = completion(1)
    closed.result.CopyFrom(packed)
    closed.order.payload.CopyFrom(packed)
    closed.order.accept_time.FromSeconds(0)
    closed.order.labels["a"] = "b"
    response = GetOrderResponse(order=closed.order, completion=closed)
    value = {UNKNOWN.type_url: "AQI=", DAMAGED.type_url: "/w=="}[packed.type_url]
    bare = {"@type": packed.type_url, "value": value}
    found = as_json(response)
    assert found["completion"]["result"] == found["order"]["payload"] == bare
    plain = as_json(completion(1))
    assert found["completion"]["sequence"] == plain["sequence"]
    assert found["order"]["lines"] == plain["order"]["lines"]
    assert found["order"]["accept_time"] == "1970-01-01T00:00:00Z"
    assert list(found["completion"]) == ["sequence", "order", "result", "cursor"]


def test_a_completion_is_one_line_that_shows_vip() -> None:
    assert shown(completion_text(completion(1))) == (
        "      1  VIP      succeeded   order-1  ada  1 x tea\n"
    )
    assert "regular  succeeded" in shown(completion_text(completion(2)))


def test_a_failed_completion_tells_why_and_cannot_command_the_terminal() -> None:
    failed = completion(1)
    failed.order.state = State.STATE_FAILED
    failed.failure.code = "HANDLER_ERROR"
    failed.failure.message = "Oven:\x1b[2J\ncold"
    assert shown(completion_text(failed)).endswith("HANDLER_ERROR: Oven:?[2J?cold\n")


def test_a_state_of_a_newer_contract_is_shown_by_number() -> None:
    newer = completion(1)
    newer.order.state = 99  # type: ignore[assignment]
    assert " 99 " in shown(completion_text(newer))


def test_a_receipt_tells_what_was_placed() -> None:
    receipt = PlaceOrderResponse(order=Order(order_id="o1", customer_id="[ada]"))
    assert shown(receipt_text(receipt)).startswith("placed  regular")
    assert "o1  [ada]" in shown(receipt_text(receipt))
    receipt.replayed = True
    assert shown(receipt_text(receipt)).startswith("replayed")


def test_an_order_is_shown_with_all_there_is_to_tell() -> None:
    ended = completion(3)
    ended.order.labels["table"] = "5"
    ended.order.start_time.FromSeconds(60)
    ended.order.complete_time.FromSeconds(61)
    ended.failure.code = "HANDLER_ERROR"
    text = shown(order_table(ended.order, ended))
    for part in ("order-3", "ada", "VIP", "3 x tea", "table=5", "00:01:01Z", "HANDLER_ERROR"):
        assert part in text
    waiting = shown(order_table(Order(order_id="o1"), None))
    assert "regular" in waiting
    assert "started" not in waiting


def test_an_error_is_shown_with_each_bad_field_on_its_line() -> None:
    error = InvalidOrder(
        Status(
            code=grpc.StatusCode.INVALID_ARGUMENT,
            message="no",
            reason="INVALID_ORDER",
            metadata={"hint": "read"},
            violations=(
                FieldViolation(field="lines", description="are required"),
                FieldViolation(field="tier", description="is unknown"),
            ),
        )
    )
    assert shown(error_text(error_json(error))).splitlines() == [
        "INVALID_ORDER",
        "  lines: are required",
        "  tier: is unknown",
        "  hint: read",
    ]
