"""What can be measured: a table, in the order of the page."""

from collections.abc import Mapping

from turns import Part

from parts import (
    core,
    events,
    growth,
    hostile,
    http,
    leaks,
    misdeeds,
    options,
    postgres,
    rivals,
    streams,
    subscribers,
    workers,
)
from parts.waiting import waiting

PARTS: Mapping[str, Part] = {
    "core": core.PART,
    "options": options.PART,
    "http": http.PART,
    "streams": streams.PART,
    "events": events.PART,
    "workers": workers.PART,
    "misdeeds": misdeeds.PART,
    "postgres": postgres.PART,
    "growth": growth.PART,
    "waiting": waiting(0, 10_000, 100_000, 1_000_000),
    "rivals": rivals.PART,
    "millions": waiting(5_000_000),
    "subscribers": subscribers.PART,
    "leaks": leaks.PART,
    "hostile": hostile.PART,
}
LONG = ("rivals", "millions", "subscribers", "leaks", "hostile")
"""Measured only when they are asked for: what takes many minutes."""
