"""The bytes of a request as its message, or the refusal of what is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from orderintake_server.errors import FieldViolation, InvalidOrder

if TYPE_CHECKING:
    from collections.abc import Callable


def decoded(message: bytes, decode: Callable[[bytes], Any]) -> Any:  # noqa: ANN401
    """Read a request's message. Raises InvalidOrder when its bytes are none."""
    try:
        return decode(message)
    except (DecodeError, ValueError):  # ValueError: some parsers say so of text that is not UTF-8
        raise unreadable("the request cannot be read as the method's message") from None


def unreadable(description: str) -> InvalidOrder:
    """Give the refusal of a request as a whole."""
    whole = FieldViolation(field="", description=description)
    return InvalidOrder((whole,), is_malformed=True)
