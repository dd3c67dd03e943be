"""Makes the contract's times from a caller's datetime or timedelta."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(field: str, time: datetime | timedelta | None, *, now: datetime) -> Timestamp | None:
    """Return the time for a request's field; a timedelta counts from `now`.

    Raises:
        TypeError: it is neither a datetime nor a timedelta.
        ValueError: it has no time zone, or is beyond the years 1 to 9999.
    """
    if time is None:
        return None
    found = Timestamp()
    found.FromDatetime(aware(field, time, now=now))
    return found


def aware(field: str, time: datetime | timedelta, *, now: datetime) -> datetime:
    """Return the time in UTC; raises as `timestamp` does."""
    if not isinstance(time, datetime | timedelta):
        raise TypeError(f"{field} is neither a datetime nor a timedelta")
    if isinstance(time, datetime) and time.utcoffset() is None:
        raise ValueError(f"{field} has no time zone: give a datetime with a tzinfo")
    try:
        return (now + time if isinstance(time, timedelta) else time).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{field} is beyond the years 1 to 9999 in UTC") from None


MOST_SECONDS = 315_576_000_000
"""The longest Duration of protobuf: 10,000 years."""


def seconds(name: str, value: float) -> float:
    """Return a length of time that can be sent.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative, infinite, not a number, or longer than 10,000 years.
    """
    if not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not math.isfinite(value) or not 0 <= value <= MOST_SECONDS:
        raise ValueError(f"{name} must be a number of seconds from 0 on, and is {value}")
    return value
