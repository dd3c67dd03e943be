"""Makes the contract's messages from plain values; an error names the field that a value misses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

_M = TypeVar("_M", bound=Message)

_KINDS = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_INT32: "a whole number",
    FieldDescriptor.CPPTYPE_ENUM: "a value of its enum",
    FieldDescriptor.CPPTYPE_MESSAGE: "a protobuf message",
}
"""What a field of each type takes, in the words of an error."""


def message(kind: type[_M], **values: object) -> _M:
    """Make a message of these values by field; a field whose value is None stays unset.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: a number does not fit its field, or a text is not Unicode.
    """
    made = kind()
    for name, value in values.items():
        field: Any = kind.DESCRIPTOR.fields_by_name[name]
        _check_text(name, field, value)
        try:
            made.MergeFrom(kind(**{name: value}))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        except (AttributeError, TypeError):
            raise _wrong_type(name, _KINDS[field.cpp_type], value) from None
    return made


@contextmanager
def inside(place: str) -> Iterator[None]:
    """Let an error of the block begin with this place, such as `orders[3]`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    except TypeError as error:
        raise TypeError(f"{place}: {error}") from None


def texts(name: str, values: object) -> list[str]:
    """Return the texts of a field that has any number of them.

    Raises:
        TypeError: it is one text, or nothing that can be iterated over, or not all are texts.
        ValueError: a text is not Unicode.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise _wrong_type(name, "several texts", values)
    found = list(values)
    for index, value in enumerate(found):
        _text(f"{name}[{index}]", value)
    return found


def _check_text(name: str, field: FieldDescriptor, value: object) -> None:
    """Check a text, or each key and value of a field that maps texts to texts."""
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        _check_texts(name, value)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING and not isinstance(
        value, list | NoneType
    ):
        _text(name, value)


def _check_texts(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise _wrong_type(name, "a mapping of text to text", value)
    for key, each in value.items():
        _text(f"{name}: key {key!r}", key)
        _text(f"{name}[{key!r}]", each)


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise _wrong_type(name, "text", value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is not Unicode text: {value!r}") from None


def _wrong_type(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}")
