"""Where messages hold content of any type, and how JSON shows what it cannot open.

`{"@type": "type.googleapis.com/shop.Order", "@base64": "AQID"}`: the key is not `value`, for that
may be a field of shop.Order.
"""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

# With these known, a shop that speaks JSON only can place content of its own.
from google.protobuf import any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

TYPE, BYTES = "@type", "@base64"


class Place(NamedTuple):
    """A field that is an Any, or that holds one somewhere."""

    name: str
    json_name: str
    is_any: bool
    is_repeated: bool
    within: tuple[Place, ...]
    """The same of the field's own message."""


class Held(NamedTuple):
    """An Any in a message, and the keys and indices by which its JSON is found."""

    any: any_pb2.Any
    path: tuple[str | int, ...]


@cache
def places(kind: Any) -> tuple[Place, ...]:  # noqa: ANN401 - a descriptor
    """Return the fields of a message in which there may be an Any; its own fields do not recur."""
    found = []
    for field in kind.fields:
        inner = field.message_type
        if inner is None or inner.GetOptions().map_entry:
            continue
        is_any = inner is any_pb2.Any.DESCRIPTOR
        within = () if is_any else places(inner)
        if is_any or within:
            found.append(Place(field.name, field.json_name, is_any, field.is_repeated, within))
    return tuple(found)


def held(message: Message) -> Iterator[Held]:
    """Yield every Any that is set in a message."""
    yield from _held(message, places(message.DESCRIPTOR), ())


def _held(message: Any, fields: tuple[Place, ...], path: tuple[str | int, ...]) -> Iterator[Held]:  # noqa: ANN401
    for field in fields:
        for item, where in _items(message, field, (*path, field.json_name)):
            found = [Held(item, where)] if field.is_any else _held(item, field.within, where)
            yield from found


def _items(
    message: Any,  # noqa: ANN401
    field: Place,
    path: tuple[str | int, ...],
) -> list[tuple[Any, tuple[str | int, ...]]]:
    """Return what a field has, each with its path; nothing, if it is not set."""
    value = getattr(message, field.name)
    if field.is_repeated:
        return [(item, (*path, index)) for index, item in enumerate(value)]
    return [(value, path)] if message.HasField(field.name) else []


def as_bytes(content: any_pb2.Any) -> dict[str, str]:
    """Return what stands in JSON for content that is not opened."""
    return {TYPE: content.type_url, BYTES: base64.b64encode(content.value).decode()}


def from_bytes(value: dict[str, Any]) -> any_pb2.Any:
    """Read what `as_bytes` returned. Raises ValueError."""
    kind, text = value[TYPE], value[BYTES]
    if len(value) != len((TYPE, BYTES)) or not isinstance(kind, str) or not isinstance(text, str):
        raise ValueError(f"{BYTES} stands beside {TYPE} only, and both are texts")
    return any_pb2.Any(type_url=kind, value=base64.b64decode(text, validate=True))
