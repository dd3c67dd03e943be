"""Lets calls in: finds who makes each, and what the method's rule allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.api.access import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.access import Callers, Credentials
    from orderintake_server.api.access import Rule
    from orderintake_server.calls.recorder import Record


class Door:
    """The one way into a method, before its request is read; and the watch over open streams."""

    def __init__(self, callers: Callers, clock: Callable[[], int]) -> None:
        """Let in whom `callers` knows; `clock` returns microseconds since 1970."""
        self._callers = callers
        self._clock = clock

    def let_in(self, known: Credentials, rule: Rule, record: Record) -> Call:
        """Return the call of who says this of itself. Raises Unauthenticated or NotAllowed."""
        caller = self._callers.identify(known)
        record.about["caller"] = caller.name
        owner = rule.admit(caller)
        return Call(caller, owner, known.peer, record.trace, record.span, record.about)

    def check(self, call: Call) -> None:
        """Raise Unauthenticated when the right of a call's caller has ended meanwhile."""
        call.caller.check(self._clock())
