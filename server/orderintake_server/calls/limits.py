"""How long peers may take, whatever the transport: with their requests, and with what they read."""

from __future__ import annotations

from orderintake_server.calls.waits import WaitLimit
from orderintake_server.errors import RequestTooSlow, SubscriberTooSlow


def request_limit(seconds: float) -> WaitLimit:
    """Limit requests on their way: one that takes longer raises RequestTooSlow."""
    return WaitLimit(seconds, _late)


def write_limit(seconds: float) -> WaitLimit:
    """Limit writes: one raises SubscriberTooSlow when its reader takes longer."""
    return WaitLimit(seconds, _unread)


def _late(seconds: float) -> RequestTooSlow:
    return RequestTooSlow(f"the request did not arrive within {seconds:g} s")


def _unread(seconds: float) -> SubscriberTooSlow:
    return SubscriberTooSlow(
        f"nothing was read from this stream for {seconds:g} s; "
        "resume from the last cursor,"
        " or repeat what has no result"
    )
