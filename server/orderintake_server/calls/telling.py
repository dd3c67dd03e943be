"""What a caller is told of an error, whatever hinders us to tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.api.refusals import internal

if TYPE_CHECKING:
    from orderintake_server.api.refusals import ErrorReply, Refusals

_UNTOLD = internal("")
"""What is told when even the error cannot be: made before memory is short."""


def told(refusals: Refusals, error: BaseException, *, method: str) -> ErrorReply:
    """Return what the caller of `method` gets for any error."""
    try:
        return refusals.reply(error, method=method)
    except Exception:  # noqa: BLE001 - whatever hinders us to tell: no memory, a text that is none
        return _UNTOLD
