"""What the service answers, as JSON for programs."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import asdict
from typing import Any

from google.protobuf import any_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message

from orderintake.errors import CustomerQuota, InvalidOrder, OrderIntakeError, Unavailable


def json_line(content: Message | dict[str, Any]) -> str:
    """Return one line of JSON: a message as proto JSON with the contract's field names.

    An Any whose type is not known here is shown as its type and its bytes in base64.
    """
    return json.dumps(_message_json(content) if isinstance(content, Message) else content)


def _message_json(message: Message) -> Any:  # noqa: ANN401 - JSON
    try:
        return MessageToDict(message, preserving_proto_field_name=True)
    except (TypeError, DecodeError):  # an Any that cannot be opened, here or further inside
        if isinstance(message, any_pb2.Any):
            value = b64encode(message.value).decode("ascii")
            return {"@type": message.type_url, "value": value}
        return _json_field_by_field(message)


def _json_field_by_field(message: Message) -> dict[str, Any]:
    rest = type(message)()
    rest.CopyFrom(message)
    inner: dict[str, Any] = {}
    for field, value in message.ListFields():
        if isinstance(value, Message):
            inner[field.name] = _message_json(value)
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
