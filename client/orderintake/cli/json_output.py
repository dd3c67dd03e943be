"""What the service answers, as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from google.protobuf.message import Message

from orderintake.errors import CustomerQuota, InvalidOrder, OrderIntakeError, Unavailable
from orderintake.payloads import to_json
from orderintake.v1.order_admin_service_pb2 import GetQueueStatsResponse


def json_line(content: Message | dict[str, Any]) -> str:
    """Return one line of JSON: a message as proto JSON with the contract's field names.

    What has no JSON form is shown as its type and its bytes in base64. How the queue stands is told
    with its zeros.
    """
    if isinstance(content, Message):
        return json.dumps(to_json(content, zeros=isinstance(content, GetQueueStatsResponse)))
    return json.dumps(content)


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
