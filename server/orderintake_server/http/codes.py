"""The codes of errors as HTTP and the Connect protocol say them, and what a caller is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Code(NamedTuple):
    """A code of google.rpc.Code."""

    name: str
    """As gRPC writes it; Connect writes it in small letters."""
    status: int
    """Of the HTTP answer."""


CODES = {
    1: Code("CANCELLED", 499),
    2: Code("UNKNOWN", 500),
    3: Code("INVALID_ARGUMENT", 400),
    4: Code("DEADLINE_EXCEEDED", 504),
    5: Code("NOT_FOUND", 404),
    6: Code("ALREADY_EXISTS", 409),
    7: Code("PERMISSION_DENIED", 403),
    8: Code("RESOURCE_EXHAUSTED", 429),
    9: Code("FAILED_PRECONDITION", 400),
    10: Code("ABORTED", 409),
    11: Code("OUT_OF_RANGE", 400),
    12: Code("UNIMPLEMENTED", 501),
    13: Code("INTERNAL", 500),
    14: Code("UNAVAILABLE", 503),
    15: Code("DATA_LOSS", 500),
    16: Code("UNAUTHENTICATED", 401),
}
"""By their numbers."""

DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = (
    CODES[number] for number in (4, 8, 12, 13, 14)
)


class Told(NamedTuple):
    """What a caller gets in place of an answer, or as its end."""

    code: Code
    text: str
    details: Sequence[Any] = ()
    """Packed messages: ErrorInfo and what ErrorReason says of each reason."""
    retry_after: int | None = None
    """In milliseconds; None: a repeat of the same call does not help."""


class NotServed(Exception):
    """A call that the transport cannot serve, whatever the method: it has a code and a text only.

    gRPC too tells such calls without details.
    """

    def __init__(self, code: Code, text: str) -> None:
        """Tell this."""
        super().__init__(text)
        self.told = Told(code, text)


class Left(ConnectionError):
    """The caller is gone."""
