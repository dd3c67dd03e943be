"""Keeps keys and tokens out of the log, whoever put them into an entry, and wherever."""

from __future__ import annotations

import re

REDACTED = "[redacted]"
_SECRET = re.compile(
    r"""oik_[\w-]+ | eyJ[\w-]{8,}(?:\.[\w-]*)* | (?i:bearer)[ ]+[^\s"'\\,;)}\]]+""",
    re.VERBOSE | re.ASCII,
)
"""An API key, a JWT or a part of one, and what follows the scheme of a header."""


def redacted(line: str) -> str:
    """Return the line with each key and token replaced."""
    if "oik_" in line or "eyJ" in line or "bearer" in line.lower():
        return _SECRET.sub(REDACTED, line)
    return line
