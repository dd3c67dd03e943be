"""The bytes of a request as its message, or the refusal of what is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from orderintake_server.errors import FieldViolation, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable


def decoded(message: bytes, decode: Callable[[bytes], Any]) -> Any:  # noqa: ANN401
    """Read a request's message. Raises Malformed when its bytes are none."""
    try:
        return decode(message)
    except (DecodeError, ValueError):  # ValueError: some parsers say so of text that is not UTF-8
        raise unreadable("the request cannot be read as the method's message") from None


def unreadable(description: str) -> Malformed:
    """Give the refusal of a request as a whole."""
    return Malformed((FieldViolation(field="", description=description),))
