"""How the command line shows what the service says: for people, and as JSON."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from google.protobuf import any_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table
from rich.text import Text

from orderintake.errors import CustomerQuota, InvalidOrder, OrderIntakeError, Unavailable
from orderintake.requests import VIP
from orderintake.v1.order_intake_service_pb2 import (
    CANCEL_OUTCOME_TOO_LATE,
    WAIT_REASON_ORDERS_AHEAD,
    WAIT_REASON_RETRY,
    WAIT_REASON_SCHEDULED,
    WAIT_REASON_TIER_PAUSED,
    CancelOutcome,
    WaitReason,
)
from orderintake.v1.order_pb2 import STATE_FAILED, STATE_SUCCEEDED, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orderintake.v1.order_admin_service_pb2 import RedriveOrderResponse
    from orderintake.v1.order_intake_service_pb2 import (
        CancelOrderResponse,
        GetOrderResponse,
        PlaceOrderResponse,
    )
    from orderintake.v1.order_pb2 import Completion, Order, Tier

_STATE_STYLES = {STATE_SUCCEEDED: "green", STATE_FAILED: "red"}
_WAIT_REASONS: dict[WaitReason.ValueType, str] = {
    WAIT_REASON_ORDERS_AHEAD: "for orders ahead of it, or a free worker",
    WAIT_REASON_SCHEDULED: "for its time to come",
    WAIT_REASON_RETRY: "for another attempt, after one that failed",
    WAIT_REASON_TIER_PAUSED: "for its tier, which is paused",
}


def json_line(content: Message | dict[str, Any]) -> str:
    """Return one line of JSON: a message as proto JSON with the contract's field names.

    An Any whose type is not known here is shown as its type and its bytes in base64.
    """
    return json.dumps(_json_of(content) if isinstance(content, Message) else content)


def _json_of(message: Message) -> Any:  # noqa: ANN401 - JSON
    try:
        return MessageToDict(message, preserving_proto_field_name=True)
    except (TypeError, DecodeError):  # an Any that cannot be opened, here or further inside
        if isinstance(message, any_pb2.Any):
            value = b64encode(message.value).decode("ascii")
            return {"@type": message.type_url, "value": value}
        return _json_by_field(message)


def _json_by_field(message: Message) -> dict[str, Any]:
    rest = type(message)()
    rest.CopyFrom(message)
    inner: dict[str, Any] = {}
    for field, value in message.ListFields():
        if isinstance(value, Message):
            inner[field.name] = _json_of(value)
            rest.ClearField(field.name)
    outer = MessageToDict(rest, preserving_proto_field_name=True) | inner
    return {field.name: outer[field.name] for field, _ in message.ListFields()}


def error_json(error: OrderIntakeError) -> dict[str, Any]:
    """Return an error's data; `retry_after` is in seconds."""
    found: dict[str, Any] = {
        "code": error.code.name,
        "reason": error.reason,
        "message": error.message,
        "metadata": dict(error.metadata),
    }
    if isinstance(error, CustomerQuota):
        found["subject"] = error.subject
    if isinstance(error, InvalidOrder):
        found["violations"] = [asdict(violation) for violation in error.violations]
    if isinstance(error, Unavailable | CustomerQuota) and error.retry_after is not None:
        found["retry_after"] = error.retry_after
    return found


def error_text(error: dict[str, Any]) -> Text:
    """Return an error's data for people: a line each for what is more than a message."""
    kind = error.get("reason") or error.get("code")
    message = "" if "violations" in error else error["message"]  # which would only repeat them
    lines = [": ".join(part for part in (kind, message) if part)]
    for bad in error.get("violations", ()):
        place = f"line {bad['line']}: " if "line" in bad else ""
        lines.append(f"  {place}{bad['field']}: {bad['description']}")
    lines += [f"  {key}: {value}" for key, value in error.get("metadata", {}).items()]
    if "retry_after" in error:
        lines.append(f"  try again in {error['retry_after']:.1f} s")
    return Text("\n".join(_plain(line) for line in lines), style="red")


def receipt_text(receipt: PlaceOrderResponse) -> Text:
    """Return one line: what was placed, under which id, and how many are before it."""
    order = receipt.order
    text = Text.assemble(("replayed  " if receipt.replayed else "placed  ", "green"))
    text.append_text(order_text(order))
    return text.append(f"  position {receipt.position}" if receipt.position else "")


def redriven_text(response: RedriveOrderResponse) -> Text:
    """Return one line: the copy, and what it is a copy of."""
    order = response.order
    text = Text("replayed  " if response.replayed else "redriven  ", style="green")
    return text.append_text(order_text(order)).append(f"  copy of {_plain(order.redrive_of)}")


def cancel_text(response: CancelOrderResponse) -> Text:
    """Return one line: what becomes of the order that was to be cancelled."""
    known = response.outcome in CancelOutcome.values()
    name = CancelOutcome.Name(response.outcome) if known else str(response.outcome)
    outcome = name.removeprefix("CANCEL_OUTCOME_").replace("_", " ").lower()
    style = "yellow" if response.outcome == CANCEL_OUTCOME_TOO_LATE else "green"
    return Text.assemble((f"{outcome}  ", style)).append_text(order_text(response.order))


def completion_text(completion: Completion) -> Text:
    """Return one line: which order ended, how, and why if it failed."""
    text = Text(f"{completion.sequence:>7}  ").append_text(order_text(completion.order))
    if completion.HasField("failure"):
        text.append("  ").append_text(_failure(completion))
    return text


def order_text(order: Order) -> Text:
    """Return one line: how urgent an order is, how it stands, and what it is."""
    lines = ", ".join(f"{line.quantity} x {_plain(line.sku)}" for line in order.lines)
    return Text.assemble(
        tier_text(order.tier, width=7),
        "  ",
        _state(order.state),
        f"  {_plain(order.order_id)}  {_plain(order.customer_id)}  {lines}",
    )


def tier_text(tier: Tier.ValueType, *, width: int = 0) -> Text:
    """Return a tier's name, which shows if it is VIP."""
    name, style = ("VIP", "bold yellow") if tier == VIP else ("regular", "dim")
    return Text(f"{name:<{width}}", style=style)


def _state(state: State.ValueType) -> Text:
    known = state in State.values()  # a newer server may know more
    name = State.Name(state).removeprefix("STATE_").lower() if known else str(state)
    return Text(f"{name:<10}", style=_STATE_STYLES.get(state, "cyan"))


def _plain(text: str) -> str:
    """Return text that cannot command the terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def standing_table(response: GetOrderResponse) -> Table:
    """Return all there is to tell of one order and its prospects, a row each."""
    is_ended = response.HasField("completion")
    table = order_table(response.order, response.completion if is_ended else None)
    for name, value in _wait_rows(response):
        table.add_row(Text(name, style="dim"), value)
    return table


def _wait_rows(response: GetOrderResponse) -> Iterator[tuple[str, Text]]:
    if response.wait_reason:
        reason = _WAIT_REASONS.get(response.wait_reason, str(response.wait_reason))
        yield "waits", Text(reason)
    if response.position:
        yield "position", Text(str(response.position))
    if response.HasField("estimated_start_time"):
        about = _to_milliseconds(response.estimated_start_time)
        least = _to_milliseconds(response.earliest_start_time)
        most = _to_milliseconds(response.latest_start_time)
        yield "starts", Text(f"about {about}")
        yield "", Text(f"(4 in 5: from {least} to {most})")


def _to_milliseconds(time: Timestamp) -> str:
    rounded = Timestamp()
    rounded.FromMilliseconds(time.ToMilliseconds())
    return rounded.ToJsonString()


def order_table(order: Order, completion: Completion | None) -> Table:
    """Return all there is to tell of one order, a row each."""
    table = Table.grid(padding=(0, 2))
    for name, value in _rows(order, completion):
        table.add_row(Text(name, style="dim"), value)
    return table


def _rows(order: Order, completion: Completion | None) -> Iterator[tuple[str, Text]]:
    yield "order", Text(_plain(order.order_id))
    yield "customer", Text(_plain(order.customer_id))
    yield "tier", tier_text(order.tier)
    yield "state", _state(order.state)
    for line in order.lines:
        yield "line", Text(f"{line.quantity} x {_plain(line.sku)}")
    for key, value in sorted(order.labels.items()):
        yield "label", Text(f"{_plain(key)}={_plain(value)}")
    yield "accepted", Text(f"{order.accept_time.ToJsonString()}  (number {order.accept_sequence})")
    if order.redrive_of:
        yield "copy of", Text(_plain(order.redrive_of))
    if order.HasField("not_before"):
        yield "not before", Text(order.not_before.ToJsonString())
    if order.HasField("expire_time"):
        yield "expires", Text(order.expire_time.ToJsonString())
    if order.HasField("start_time"):
        yield "started", Text(f"{order.start_time.ToJsonString()}  (attempt {order.attempt_count})")
    if completion is not None:
        yield from _end_rows(completion)


def _end_rows(completion: Completion) -> Iterator[tuple[str, Text]]:
    ended = completion.order.complete_time.ToJsonString()
    yield "ended", Text(f"{ended}  (completion {completion.sequence})")
    if completion.HasField("failure"):
        yield "failure", _failure(completion)


def _failure(completion: Completion) -> Text:
    failure = completion.failure
    return Text(f"{_plain(failure.code)}: {_plain(failure.message)}", style="red")
