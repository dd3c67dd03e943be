"""Makes the contract's times from a caller's datetime or timedelta."""

from __future__ import annotations

from datetime import datetime, timedelta

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
    """Return the time as a datetime with a time zone; raises as `timestamp` does."""
    if isinstance(time, timedelta):
        try:
            return now + time
        except OverflowError:
            raise ValueError(f"{field} is beyond the years 1 to 9999") from None
    if not isinstance(time, datetime):
        raise TypeError(f"{field} is neither a datetime nor a timedelta")
    if time.utcoffset() is None:
        raise ValueError(f"{field} has no time zone: give a datetime with a tzinfo")
    return time
