"""Reads times as people type them."""

import re
from contextlib import suppress
from datetime import datetime, timedelta

_FROM_NOW = re.compile(r"\+(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)


def from_text(text: str) -> datetime | timedelta:
    """Read a time: RFC 3339 with its offset, or counted from now, as in `+1h30m`.

    Raises:
        ValueError: it is neither.
    """
    with suppress(ValueError, OverflowError):
        if match := _FROM_NOW.fullmatch(text):
            days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        time = datetime.fromisoformat(text)
        if time.utcoffset() is not None:
            return time
    raise ValueError(f"{text!r} is neither like 2030-01-31T12:00:00Z nor like +1h30m")
