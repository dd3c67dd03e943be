"""What a call is about: the fields of every entry that is logged while it is answered."""

from __future__ import annotations

from contextvars import ContextVar

ABOUT: ContextVar[dict[str, object] | None] = ContextVar("about", default=None)
"""Fields of the call that is answered here; those that are empty are left out.

The field `trace` is a trace context, of which the trace_id is told.
"""
