"""What is measured: the table of all metrics, and the plain numbers that the service counts in."""

from orderintake_server.metrics.calls import (
    CALL,
    PLACING,
    SUBSCRIPTION,
    WAITING,
    WATCH,
    Calls,
    Meter,
)
from orderintake_server.metrics.counts import Counts, Histogram, Labels, Limited
from orderintake_server.metrics.meters import Attempts, Commits, Meters
from orderintake_server.metrics.promises import Promises
from orderintake_server.metrics.table import TABLE, Kind, Metric

__all__ = [
    "CALL",
    "PLACING",
    "SUBSCRIPTION",
    "TABLE",
    "WAITING",
    "WATCH",
    "Attempts",
    "Calls",
    "Commits",
    "Counts",
    "Histogram",
    "Kind",
    "Labels",
    "Limited",
    "Meter",
    "Meters",
    "Metric",
    "Promises",
]
