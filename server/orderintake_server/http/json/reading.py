"""JSON read as a message, in bounded time, or the refusal of what is none."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from orderintake_server.errors import FieldViolation, InvalidOrder
from orderintake_server.http.json.anys import BYTES, from_bytes, places
from orderintake_server.texts import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf import any_pb2
    from google.protobuf.message import Message

    from orderintake_server.http.json.anys import Place

    _Path = tuple[str | int, ...]

JSON_BYTES = 512 * 1024
"""How large the JSON of a single order may be: its 64 KiB, were every character escaped."""
MOST_OBJECTS, MOST_COMMAS = 110_000, 500_000
"""A full batch has 101,001 objects, payloads aside. Each takes microseconds: 4 MiB of `{},` would
take four seconds, and so would as much of `1,`."""
KEY_CHARACTERS = 256
"""protobuf's own reader copies all keys above each value, for what it may have to say."""
DEPTH = 64
"""What nests deeper as messages could not be read again once it is encoded: 100 is the limit there,
and a level of a Struct has two here and three there."""
TEXT_CHARACTERS = 256

_FOREIGN = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
    SystemError,  # of a key with half a surrogate pair
)
"""What Python's reader and protobuf's raise on texts that are not as they think."""
_UNDERLINED = re.compile(rb'_[^\W_]*"\s*:|\\')
"""A key that may be a field's name as the protos spell it, or hides that.

It looks from the last underline of a text only: from each, a text of underlines takes for ever.
"""
_WITHIN = re.compile(r"Failed to parse (\w+) field: ")
_UNKNOWN = re.compile(r'.* has no field named "(.*)" at "\w+(?:\.([^"]*))?"', re.DOTALL)
_PLACE = re.compile(r"(.*) at \w+\.([\w.\[\]]+?)\.*", re.DOTALL)
"""How protobuf's reader says what is wrong, and where."""
_SAID_CHARACTERS = 1024
"""So much is looked at of each end of what it says; between them is the sender's text, in which
these expressions would find their own words, and try each with each."""


def read_json(kind: type[Message], text: bytes) -> Any:  # noqa: ANN401 - a message of this kind
    """Read a message of one kind. Raises InvalidOrder, which names the field if it is known.

    What the kind does not have is refused, be it a field or the name of an enum's value: a tier
    that is misspelt must not become a regular order.
    """
    if text.count(b"{") > MOST_OBJECTS or text.count(b",") > MOST_COMMAS:
        raise _refused("", "has more objects or values than JSON may have here: send it as binary")
    try:
        value = json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_not_a_number)
    except _FOREIGN as error:
        raise _refused("", f"the request is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _refused("", "the request is no JSON object")
    return _message(kind, value, may_differ=_UNDERLINED.search(text) is not None)


def _message(kind: type[Message], value: dict[str, Any], *, may_differ: bool) -> Message:
    message = kind()
    try:
        if may_differ:
            _check_spellings(value, kind.DESCRIPTOR)
        unopened = list(_taken(value, places(kind.DESCRIPTOR), ()))
        json_format.ParseDict(value, message, max_recursion_depth=DEPTH)
        for path, content in unopened:
            _at(message, path).CopyFrom(content)
    except json_format.ParseError as error:
        raise _explained(str(error)) from None
    except _FOREIGN as error:
        raise _refused("", f"the request cannot be read as the method's message: {error}") from None
    return message


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    if any(len(key) > KEY_CHARACTERS for key in found):
        raise ValueError(f"a key has more than {KEY_CHARACTERS} characters")
    return found


def _not_a_number(text: str) -> None:
    raise ValueError(f"{text} is no value")


def _check_spellings(value: object, kind: Any) -> None:  # noqa: ANN401 - a descriptor
    """Raise ParseError where a field is there by both of its names."""
    if not isinstance(value, dict):
        return
    for field in kind.fields:
        if field.name != field.json_name and field.name in value and field.json_name in value:
            said = f"Failed to parse {field.name} field: it is there as {field.json_name} too"
            raise json_format.ParseError(said)
    for field in kind.fields:
        inner = field.message_type
        is_message = inner is not None and not inner.GetOptions().map_entry
        for each in _each(value, field) if is_message else ():
            _check_spellings(each, inner)


def _taken(
    value: object, fields: tuple[Place, ...], path: _Path
) -> Iterator[tuple[_Path, any_pb2.Any]]:
    """Take content that is not opened out of the JSON, for which `{}` stands in then."""
    if not isinstance(value, dict):
        return
    for field in fields:
        for index, item in enumerate(_each(value, field)):
            where = (*path, field.name, index) if field.is_repeated else (*path, field.name)
            yield from _unopened(item, where) if field.is_any else _taken(item, field.within, where)


def _unopened(item: object, where: _Path) -> Iterator[tuple[_Path, any_pb2.Any]]:
    if isinstance(item, dict) and BYTES in item:
        yield where, from_bytes(item)
        item.clear()


def _each(value: dict[str, Any], field: Any) -> list[Any]:  # noqa: ANN401 - a field's descriptor
    """Return what a field has in an object: the items of a list, or the one value."""
    found = value.get(field.json_name, value.get(field.name))
    return found if isinstance(found, list) else [found]


def _at(message: Any, path: _Path) -> Any:  # noqa: ANN401 - a part of the message
    for step in path:
        message = message[step] if isinstance(step, int) else getattr(message, step)
    return message


def _explained(text: str) -> InvalidOrder:
    """Give the refusal for what protobuf's reader says."""
    if len(text) > 2 * _SAID_CHARACTERS:
        text = text[:_SAID_CHARACTERS] + text[-_SAID_CHARACTERS:]
    names = []
    while within := _WITHIN.match(text):
        names.append(within[1])
        text = text[within.end() :]
    if unknown := _UNKNOWN.match(text):
        name, path = unknown.groups()
        return _refused(f"{path}.{name}" if path else name, "there is no such field")
    if place := _PLACE.fullmatch(text):
        return _refused(place[2], place[1])
    return _refused(".".join(names), text)


def _refused(field: str, description: str) -> InvalidOrder:
    found = FieldViolation(
        field=escaped(field[:TEXT_CHARACTERS]), description=escaped(description[:TEXT_CHARACTERS])
    )
    return InvalidOrder((found,), is_malformed=True)
