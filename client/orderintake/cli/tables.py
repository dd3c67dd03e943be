"""All that is known of one order, as a table for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table
from rich.text import Text

from orderintake.cli.text import failure_text, printable, state_text, tier_text
from orderintake.payloads import to_json
from orderintake.v1.order_intake_service_pb2 import (
    WAIT_REASON_ORDERS_AHEAD,
    WAIT_REASON_RETRY,
    WAIT_REASON_SCHEDULED,
    WAIT_REASON_TIER_PAUSED,
    WaitReason,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.any_pb2 import Any

    from orderintake.v1.order_intake_service_pb2 import GetOrderResponse
    from orderintake.v1.order_pb2 import Completion, Order

_WAIT_REASONS: dict[WaitReason.ValueType, str] = {
    WAIT_REASON_ORDERS_AHEAD: "for orders ahead of it, or a free worker",
    WAIT_REASON_SCHEDULED: "for its time to come",
    WAIT_REASON_RETRY: "for another attempt, after one that failed",
    WAIT_REASON_TIER_PAUSED: "for its tier, which is paused",
}


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
    for name, value in _order_rows(order, completion):
        table.add_row(Text(name, style="dim"), value)
    return table


def _order_rows(order: Order, completion: Completion | None) -> Iterator[tuple[str, Text]]:
    yield "order", Text(printable(order.order_id))
    yield "customer", Text(printable(order.customer_id))
    yield "tier", tier_text(order.tier)
    yield "state", state_text(order.state)
    for line in order.lines:
        yield "line", Text(f"{line.quantity} x {printable(line.sku)}")
    for key, value in sorted(order.labels.items()):
        yield "label", Text(f"{printable(key)}={printable(value)}")
    yield "accepted", Text(f"{order.accept_time.ToJsonString()}  (number {order.accept_sequence})")
    if order.HasField("payload"):
        yield "payload", _any_text(order.payload)
    if order.redrive_of:
        yield "copy of", Text(printable(order.redrive_of))
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
        yield "failure", failure_text(completion)
    if completion.HasField("result"):
        yield "result", _any_text(completion.result)


def _any_text(packed: Any) -> Text:
    """Return what an Any holds as JSON, with the type's name first."""
    return Text(printable(json.dumps(to_json(packed), ensure_ascii=False)))
