"""A message of any type as JSON, and an Any from JSON: opened where its type is known here."""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

# Imported so that their types are known: people give and get them as JSON.
from google.protobuf import (
    any_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    json_format,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.message import DecodeError, Message

KNOWN = (duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
"""The files whose types are known besides the contract's; a program may know more."""

NO_JSON = (
    *(json_format.Error, DecodeError, RecursionError),
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
)
"""What protobuf raises for content that has no JSON form, or for JSON that fits no message."""


def to_json(message: Message, *, zeros: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Return a message as JSON, with the contract's field names; with `zeros`, those of zero too.

    A message inside that has no JSON form, such as an Any of a type that is not known here, is
    shown as its type and its bytes in base64.
    """
    try:
        return json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=zeros
        )
    except NO_JSON:
        return _field_by_field(message)


def _field_by_field(message: Message) -> dict[str, Any]:
    inner = {
        field.name: to_json(value)
        for field, value in message.ListFields()
        if isinstance(value, Message)
    }
    if not inner:
        return _closed(message)
    rest = type(message)()
    rest.CopyFrom(message)
    for name in inner:
        rest.ClearField(name)
    found = to_json(rest) | inner
    return {field.name: found[field.name] for field, _ in message.ListFields()}


def _closed(message: Message) -> dict[str, Any]:
    """Return a message as its type and its bytes."""
    if isinstance(message, any_pb2.Any):
        url, content = message.type_url, message.value
    else:
        url, content = message.DESCRIPTOR.full_name, message.SerializeToString()
    return {"@type": url, "value": base64.b64encode(content).decode("ascii")}


def any_from_json(content: object) -> any_pb2.Any:
    """Make an Any of its JSON form: opened for a known type, else its type and base64.

    Raises:
        ValueError: it is not the JSON form of an Any.
    """
    url = content.get("@type") if isinstance(content, dict) else None
    if not isinstance(url, str) or "/" not in url:
        raise ValueError('a payload is {"@type": "type.googleapis.com/NAME", ...}')
    fields = cast("dict[str, Any]", content)
    if not _is_known(url):
        return _any_of_bytes(url, fields)
    try:
        return json_format.ParseDict(fields, any_pb2.Any())
    except NO_JSON as error:
        raise ValueError(str(error).partition("\n")[0]) from None


def _is_known(url: str) -> bool:
    try:
        descriptor_pool.Default().FindMessageTypeByName(url.rpartition("/")[2])
    except KeyError:
        return False
    return True


def _any_of_bytes(url: str, content: dict[str, Any]) -> any_pb2.Any:
    text = content.get("value")
    if content.keys() != {"@type", "value"} or not isinstance(text, str):
        raise ValueError(f'{url} is not known here: give {{"@type": ..., "value": BASE64}}')
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        value = base64.b64decode(padded.translate({45: 43, 95: 47}), validate=True)  # -_ as +/
    except (binascii.Error, ValueError):
        raise ValueError(f"the value of {url} is not base64") from None
    return any_pb2.Any(type_url=url, value=value)
