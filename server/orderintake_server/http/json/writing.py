"""Messages written as JSON: whatever anybody placed, there is always a JSON of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format, message

from orderintake_server.http.json.anys import as_bytes, held

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as Content
    from google.protobuf.message import Message

_FOREIGN = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
    json_format.Error,
    message.Error,
)
"""What protobuf's writer raises at content of an unknown type, damaged, or without a JSON form."""


def write_json(shown: Message) -> bytes:
    """Return a message as JSON, in UTF-8.

    Content that cannot be shown is there as bytes: an order's payload must not break who reads it.
    """
    try:
        return _dumped(json_format.MessageToDict(shown))
    except _FOREIGN:
        return _dumped(_with_bytes(shown))


def detail_json(content: Content) -> Any:  # noqa: ANN401 - a JSON object
    """Return a detail of an error as JSON, without its type."""
    try:
        shown = json_format.MessageToDict(content)
    except _FOREIGN:
        return {}
    del shown["@type"]
    return shown


def _dumped(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _with_bytes(shown: Message) -> dict[str, Any]:
    """Return JSON in which content that cannot be shown is there as bytes."""
    copy = type(shown)()
    copy.CopyFrom(shown)
    bad = []
    for content, path in held(copy):
        if not _can_be_shown(content):
            bad.append((path, as_bytes(content)))
            content.Clear()
    found = json_format.MessageToDict(copy)
    for path, value in bad:
        _put(found, path, value)
    return found


def _can_be_shown(content: Content) -> bool:
    try:
        _dumped(json_format.MessageToDict(content))
    except _FOREIGN:
        return False
    return True


def _put(found: Any, path: tuple[str | int, ...], value: dict[str, str]) -> None:  # noqa: ANN401
    for step in path[:-1]:
        found = found[step]
    found[path[-1]] = value
