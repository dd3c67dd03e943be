"""Reads times as people type them."""

import re
from contextlib import suppress
from datetime import datetime, timedelta

_LENGTH = r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?"
_FROM_NOW = re.compile(rf"\+{_LENGTH}", re.ASCII)
_AGO = re.compile(_LENGTH, re.ASCII)


def from_text(text: str) -> datetime | timedelta:
    """Read a time: RFC 3339 with its offset, or counted from now, as in `+1h30m`.

    Raises:
        ValueError: it is neither.
    """
    return _read(text, _FROM_NOW, sign=+1, example="+1h30m")


def from_past_text(text: str) -> datetime | timedelta:
    """Read a time: RFC 3339 with its offset, or so long before now, as in `1h30m`.

    Raises:
        ValueError: it is neither.
    """
    return _read(text, _AGO, sign=-1, example="1h30m")


def _read(text: str, length: re.Pattern[str], *, sign: int, example: str) -> datetime | timedelta:
    with suppress(ValueError, OverflowError):
        if match := length.fullmatch(text):
            days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
            return sign * timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        time = datetime.fromisoformat(text)
        if time.utcoffset() is not None:
            return time
    raise ValueError(f"{text!r} is neither like 2030-01-31T12:00:00Z nor like {example}")
