"""Trace contexts: W3C's traceparent, as 25 bytes, which orders keep."""

from __future__ import annotations

import re

HEADER = "traceparent"
"""The name of the header that carries a caller's trace context."""
TRACE_END, SPAN_END = 16, 24
"""Where the ids of the trace and of the span end; one byte of flags follows."""
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def read(text: str) -> bytes | None:
    """Return the ids of the trace and the span, and the flags; None when it is no traceparent.

    Of a version that is not known, what version 00 has is read, as W3C says.
    """
    match = _FORM.fullmatch(text)
    if match is None or (text.startswith("00") and match[4] is not None):
        return None
    trace_id, span_id = bytes.fromhex(match[1]), bytes.fromhex(match[2])
    if not any(trace_id) or not any(span_id):
        return None
    return trace_id + span_id + bytes.fromhex(match[3])


def written(trace: bytes) -> str:
    """Return the traceparent of what `read` returned."""
    text = trace.hex()
    return f"00-{text[: 2 * TRACE_END]}-{text[2 * TRACE_END : 2 * SPAN_END]}-{text[2 * SPAN_END :]}"


def trace_id(trace: bytes) -> str:
    """Return the id of the trace, as tools show it."""
    return trace[:TRACE_END].hex()
