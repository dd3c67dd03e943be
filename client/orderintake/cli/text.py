"""What the service answers, as lines of text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text

from orderintake.requests import VIP
from orderintake.v1.order_admin_service_pb2 import Action
from orderintake.v1.order_intake_service_pb2 import CANCEL_OUTCOME_TOO_LATE, CancelOutcome
from orderintake.v1.order_pb2 import STATE_FAILED, STATE_SUCCEEDED, State

if TYPE_CHECKING:
    from orderintake.v1.order_admin_service_pb2 import OperatorAction, RedriveOrderResponse
    from orderintake.v1.order_intake_service_pb2 import CancelOrderResponse, PlaceOrderResponse
    from orderintake.v1.order_pb2 import Completion, Order, Tier

_STATE_STYLES = {STATE_SUCCEEDED: "green", STATE_FAILED: "red"}


def error_text(error: dict[str, Any]) -> Text:
    """Return an error's data for people: a line each for what is more than a message."""
    kind = error.get("reason") or error.get("code")
    message = "" if error.get("violations") else error["message"]  # which would only repeat them
    lines = [": ".join(part for part in (kind, message) if part)]
    for bad in error.get("violations", ()):
        place = f"line {bad['line']}: " if "line" in bad else ""
        lines.append(f"  {place}{bad['field']}: {bad['description']}")
    lines += [f"  {key}: {value}" for key, value in error.get("metadata", {}).items()]
    if "retry_after" in error:
        lines.append(f"  try again in {error['retry_after']:.1f} s")
    return Text("\n".join(printable(line) for line in lines), style="red")


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
    return text.append_text(order_text(order)).append(f"  copy of {printable(order.redrive_of)}")


def action_text(action: OperatorAction) -> Text:
    """Return one line: when an operator did what, to what, and who it was from where."""
    known = action.action in Action.values()
    name = Action.Name(action.action) if known else str(action.action)
    text = Text(f"{time_text(action.time)}  ", style="dim")
    text.append(f"{name.removeprefix('ACTION_').replace('_', ' ').lower():<13}  ", style="green")
    if action.tier:
        text.append_text(tier_text(action.tier))
    text.append(printable(action.order_id))
    if action.copy_order_id:
        text.append(f" as {printable(action.copy_order_id)}")
    return text.append(f"  by {printable(action.caller)}  {printable(action.peer)}")


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
        text.append("  ").append_text(failure_text(completion))
    return text


def order_text(order: Order) -> Text:
    """Return one line: how urgent an order is, how it stands, and what it is."""
    lines = ", ".join(f"{line.quantity} x {printable(line.sku)}" for line in order.lines)
    return Text.assemble(
        tier_text(order.tier, width=7),
        "  ",
        state_text(order.state),
        f"  {printable(order.order_id)}  {printable(order.customer_id)}  {lines}",
    )


def listed_text(order: Order, *, completion: Completion | None) -> Text:
    """Return one line: when an order was accepted, how it stands, how often it was tried, and why.

    `completion` tells why it failed, if it is known.
    """
    text = Text()
    if order.HasField("accept_time"):
        text.append(f"{time_text(order.accept_time)}  ", style="dim")
    text.append_text(order_text(order))
    if order.attempt_count > 1:
        text.append(f"  {order.attempt_count} attempts")
    if completion is not None and completion.HasField("failure"):
        text.append("  ").append_text(failure_text(completion))
    return text


def time_text(time: Timestamp) -> str:
    """Return a time in UTC, to the second."""
    return Timestamp(seconds=time.seconds).ToJsonString()


def tier_text(tier: Tier.ValueType, *, width: int = 0) -> Text:
    """Return a tier's name; VIP stands out."""
    name, style = ("VIP", "bold yellow") if tier == VIP else ("regular", "dim")
    return Text(f"{name:<{width}}", style=style)


def state_text(state: State.ValueType) -> Text:
    """Return a state's name, or its number where this version does not know it."""
    known = state in State.values()  # a newer server may know more
    name = State.Name(state).removeprefix("STATE_").lower() if known else str(state)
    return Text(f"{name:<10}", style=_STATE_STYLES.get(state, "cyan"))


def printable(text: str) -> str:
    """Return the text with a question mark for each character that could control a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def failure_text(completion: Completion) -> Text:
    """Return why an order failed."""
    failure = completion.failure
    return Text(f"{printable(failure.code)}: {printable(failure.message)}", style="red")
