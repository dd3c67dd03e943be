"""What goes with each call besides its request: who makes it, and the trace it belongs to."""

from __future__ import annotations

import sys

Headers = tuple[tuple[str, str], ...]


def headers(token: str | None) -> Headers:
    """Return the metadata of a call that is made now, with this key or token, or (None) neither."""
    trace = traceparent()
    shown = () if token is None else (("authorization", f"Bearer {token}"),)
    return (*shown, ("traceparent", trace)) if trace else shown


def traceparent() -> str | None:
    """Return the span that is active here, in W3C's form; None for none.

    OpenTelemetry is used where the program has imported it, and costs nothing where not.
    """
    opentelemetry = sys.modules.get("opentelemetry.trace")
    current_span = getattr(opentelemetry, "get_current_span", None)
    if current_span is None:  # it is not there, or just being imported
        return None
    span = current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & 0xFF:02x}"
