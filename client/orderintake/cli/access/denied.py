"""What to do when the server does not know who calls, or does not let the caller."""

from __future__ import annotations

from orderintake.errors import NotAllowed, OrderIntakeError, Unauthenticated

_UNKNOWN = {
    "MISSING": "the server does not know who calls: give --api-key-file or ORDERINTAKE_API_KEY,"
    " or else --token-file, or --cert and --key",
    "INVALID": "the server does not know this key or token: look whether it is whole, and meant for"
    " this server",
    "EXPIRED": "the key or token has ended, or was taken away: get another one",
}


def sentence(error: OrderIntakeError) -> str | None:
    """Return what to tell people in place of the error's message; None for any other error."""
    if isinstance(error, Unauthenticated):
        return _UNKNOWN.get(error.problem, _UNKNOWN["MISSING"])
    if not isinstance(error, NotAllowed):
        return None
    if error.needs == "customer":
        return "the caller may do this for its own customer only"
    return f"the caller may not do this: it needs the role {error.needs or 'for it'}"
