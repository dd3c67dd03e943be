"""Reads the key or token from a call's authorization header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.access.checks import CheckFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BYTES = 7_000
"""A longer header is refused unread: from 8 KiB on gRPC refuses some of them at random."""


def bearer(values: Sequence[str]) -> str | None:
    """Return the token of the one header there is, None when there is none.

    Raises CheckFailed for more headers than one, and for one of another form.
    """
    if not values:
        return None
    if len(values) > 1:
        raise CheckFailed("more than one authorization header")
    header = values[0]
    if len(header) > MOST_BYTES:
        raise CheckFailed("the authorization header is too long")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token or " " in token or not token.isascii():
        raise CheckFailed("the authorization header is not 'Bearer TOKEN'")
    return token
