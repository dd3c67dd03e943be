"""Encoded parts joined into encoded messages: in protobuf, to join bytes is to merge messages."""

from __future__ import annotations

_SIZED = 2
"""The wire type of a field that begins with its length."""


def embedded(number: int, *parts: bytes) -> bytes:
    """Return a field that holds one message, which these parts are when they are joined.

    The `number` of the field is 15 at the most.
    """
    joined = b"".join(parts)
    return bytes((number << 3 | _SIZED,)) + _length(len(joined)) + joined


def _length(size: int) -> bytes:
    """Return a length as protobuf writes it: seven bits in a byte, the lowest first."""
    if size < 0x80:  # noqa: PLR2004 - it fits
        return bytes((size,))
    return bytes((size & 0x7F | 0x80,)) + _length(size >> 7)
