"""Times as the contract has them, made from what a caller has at hand."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

_FROM_NOW = re.compile(r"\+(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)


def timestamp(field: str, time: datetime | timedelta | None, *, now: datetime) -> Timestamp | None:
    """Return the time for a request's field; a timedelta counts from `now`.

    Raises:
        TypeError: it is neither a datetime nor a timedelta.
        ValueError: it has no time zone, or is beyond the years that there are.
    """
    if time is None:
        return None
    found = Timestamp()
    found.FromDatetime(aware(field, time, now=now))
    return found


def aware(field: str, time: datetime | timedelta, *, now: datetime) -> datetime:
    """Return the time that is meant, which has a time zone; raises as `timestamp` does."""
    if isinstance(time, timedelta):
        try:
            return now + time
        except OverflowError:
            raise ValueError(f"{field} is beyond the years that there are") from None
    if not isinstance(time, datetime):
        raise TypeError(f"{field} is neither a datetime nor a timedelta")
    if time.utcoffset() is None:
        raise ValueError(f"{field} has no time zone: give a datetime with a tzinfo")
    return time


def from_text(text: str) -> datetime | timedelta:
    """Read a time as one types it: RFC 3339 with its offset, or from now on, as in `+1h30m`.

    Raises:
        ValueError: it is neither.
    """
    if match := _FROM_NOW.fullmatch(text):
        days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
        try:
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        except OverflowError:
            pass
    else:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            if time.utcoffset() is not None:
                return time
    raise ValueError(f"{text!r} is neither like 2030-01-31T12:00:00Z nor like +1h30m")
