"""The table of metrics: the name, kind, labels and meaning of every number that a scrape shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

PREFIX = "orderintake_"
"""What every name begins with when it is shown, beside those of Python and of the process."""


class Kind(Enum):
    """What kind of number a metric is, by Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A row: what is measured, and by which labels it is told apart.

    No label ever holds a customer, an order, a caller or an address.
    """

    name: str
    """Without the prefix, and as it is shown: a counter's ends in _total."""
    kind: Kind
    help: str
    """What it counts, and where the name does not say it, in which unit."""
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """The upper bounds of a histogram's buckets; the last one, without a bound, is not here."""


CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ORDER_SECONDS = (
    *(0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 300.0, 900.0, 3600.0),
)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
COMMIT_CHANGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)
STALL_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=name, kind=Kind.COUNTER, help=text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, help=text, labels=labels)


def _histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Metric:
    return Metric(name=name, kind=Kind.HISTOGRAM, help=text, labels=labels, bounds=bounds)


_ROWS = (
    # Calls
    _counter("rpc_calls_total", "Calls that ended, by method and status code.", "method", "code"),
    _histogram(
        "rpc_duration_seconds",
        "Time from a unary call's first header to its answer.",
        CALL_SECONDS,
        "method",
    ),
    _gauge("rpc_in_flight", "Calls that are being answered, streams included.", "method"),
    _counter(
        "refusals_total", "Calls, and orders of PlaceOrders, refused, by ErrorReason.", "reason"
    ),
    _counter(
        "authentication_failures_total",
        "Calls and scrapes without valid credentials, by what is wrong with these.",
        "problem",
    ),
    _counter("malformed_requests_total", "Requests whose bytes were not the method's message."),
    # Orders
    _counter("orders_accepted_total", "Orders that this server accepted, now durable.", "tier"),
    _counter("orders_replayed_total", "Repeats of a request_id that were answered again.", "tier"),
    _counter("orders_completed_total", "Orders that this server ended, by how.", "tier", "state"),
    _gauge("orders", "Orders in the store that have not ended.", "tier", "state"),
    _gauge(
        "oldest_waiting_seconds",
        "Time since the oldest queued order was accepted; 0 when none is queued.",
        "tier",
    ),
    _gauge("tier_paused", "1 when an operator has paused the tier, otherwise 0.", "tier"),
    _gauge("queue_limit", "How many orders may wait (queue_limit)."),
    _histogram(
        "wait_seconds",
        "Time from accept, or from not_before, to the order's first start.",
        ORDER_SECONDS,
        "tier",
    ),
    _counter(
        "estimates_total",
        "Promised intervals of the start, by whether the order started within.",
        "held",
    ),
    # Attempts
    _histogram("service_seconds", "Time that one attempt takes.", ORDER_SECONDS, "tier"),
    _counter("attempts_total", "Attempts that ended, by how.", "tier", "outcome"),
    _counter("quarantined_total", "Orders that ended because attempts ended the process."),
    _counter(
        "failures_total",
        "Attempts that failed, by the handler's code; only 50 codes have a name here.",
        "code",
    ),
    _gauge("workers", "Orders that can be processed at once, by where.", "kind"),
    _gauge("workers_busy", "Orders in process, by where.", "kind"),
    _gauge("stuck_threads", "Threads that hang in a handler and were replaced."),
    # Workers in processes of their own
    _gauge("remote_workers", "Workers in processes of their own that this server hears."),
    _gauge("remote_slots_offered", "Slots for which calls of workers wait at this server."),
    _gauge("remote_calls_waiting", "Calls of LeaseOrders that wait at this server."),
    _counter(
        "remote_outcomes_total",
        "Outcomes that workers told this server, by kind; lease_lost: they came too late.",
        "kind",
    ),
    _counter(
        "remote_answers_lost_total",
        "Orders in answers that no worker got, by how that was found.",
        "kind",
    ),
    _gauge("remote_oldest_lease_seconds", "Time since the oldest attempt of a worker began."),
    _counter("remote_deaths_total", "Workers that this server found dead."),
    # The store
    _histogram("commit_seconds", "Time that a commit takes, flush included.", COMMIT_SECONDS),
    _histogram("commit_changes", "Changes that one commit makes durable.", COMMIT_CHANGES),
    _counter("store_errors_total", "Commits that failed, by whose fault it was.", "kind"),
    _gauge("store_up", "1 when the last commit found the store writable, otherwise 0."),
    _gauge("store_bytes", "Size of the store's files; none for PostgreSQL.", "file"),
    # The completion log
    _gauge("log_head", "Sequence of the newest completion."),
    _gauge("subscribers", "Completion streams that are open."),
    _gauge("subscriber_lag_completions", "Completions that the slowest subscriber has yet to get."),
    _counter("stream_ends_total", "Completion streams that ended, by why.", "reason"),
    # The process
    _histogram(
        "loop_stall_seconds", "How late the event loop answers, looked at often.", STALL_SECONDS
    ),
    _counter("log_lines_dropped_total", "Lines that the log lost, by why.", "cause"),
    _counter("tls_reloads_total", "Certificates that were read again, by result.", "result"),
    _counter("access_reloads_total", "Files of callers that were read again.", "result"),
    _gauge(
        "tls_certificate_expiry_timestamp_seconds",
        "When the server's certificate ends, in seconds since 1970.",
    ),
    _gauge("build_info", "1; the labels tell what runs.", "version", "python", "grpc", "store"),
)
TABLE = {metric.name: metric for metric in _ROWS}
"""Every metric of the service, by its name. A scrape shows all of them, and no other."""
