"""Where each metric's numbers are: one source for each row of the table, read at the scrape."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING

from orderintake_server.domain import Tier
from orderintake_server.errors import StoreError
from orderintake_server.metrics import TABLE, Histogram
from orderintake_server.metrics.meters import TIERS
from orderintake_server.telemetry import LOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from orderintake_server.dispatch.stats import QueueStats
    from orderintake_server.dispatch.workers import Workers
    from orderintake_server.metrics import Labels, Meters
    from orderintake_server.store.base import Store
    from orderintake_server.stream.log import CompletionLog
    from orderintake_server.work.room import WorkRoom

    Values = Mapping[Labels, float | Histogram]
    """The value of each series of a metric."""
    Source = Callable[[], Values | Mapping[Labels, float]]

STORE_SECONDS = 1.0
"""A scrape waits no longer for the store; then it shows no age of the oldest order."""
OF_OTHERS = (
    "tls_reloads_total",
    "access_reloads_total",
    "tls_certificate_expiry_timestamp_seconds",
)
"""What only some servers have: without a certificate or known callers, there are no numbers."""
STATES = ("queued", "scheduled", "processing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What does not change while the server runs."""

    workers: int
    queue_limit: int
    engine: str
    """The store's."""
    files: Mapping[str, Path]
    """The store's files, by what they are called here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The parts of a running service that numbers are read from."""

    meters: Meters
    stats: QueueStats
    store: Store
    completions: CompletionLog
    workers: Workers
    room: WorkRoom
    stuck_threads: Callable[[], int]
    facts: Facts
    more: dict[str, Source] = field(default_factory=dict)
    """Where to read what other parts of the service know, by the metric's name."""


class Readings:
    """All numbers of a service."""

    def __init__(self, observed: Observed) -> None:
        """Read from these parts."""
        self._observed = observed
        self._oldest: dict[Tier, int] | None = {}
        self._sizes: Values = {}
        self._build: Values = {}
        self._sources = _sources(observed) | {
            "oldest_waiting_seconds": self._oldest_waiting,
            "store_bytes": lambda: self._sizes,
            "build_info": lambda: self._build,
            **observed.more,
        }

    @property
    def names(self) -> set[str]:
        """The metrics that have a source."""
        return set(self._sources)

    async def take(self) -> dict[str, Values]:
        """Return the values of every metric, all of one moment; they do not change any more."""
        await asyncio.to_thread(self._look_at_files)
        try:
            async with asyncio.timeout(STORE_SECONDS):
                self._oldest = await self._observed.store.oldest_waiting()
        except (StoreError, TimeoutError):
            self._oldest = None
        return {name: _kept(self._sources[name]()) for name in TABLE}

    def _look_at_files(self) -> None:
        """Read in a thread what the event loop cannot, for it waits for a disk."""
        facts = self._observed.facts
        self._sizes = _sizes(facts.files)
        if not self._build:
            ours, grpcio = version("orderintake-server"), version("grpcio")
            self._build = {(ours, python_version(), grpcio, facts.engine): 1}

    def _oldest_waiting(self) -> Values:
        if self._oldest is None:
            return {}
        now = time.time()
        ages = {tier: now - accepted / 1e6 for tier, accepted in self._oldest.items()}
        return {(TIERS[tier],): max(ages.get(tier, 0.0), 0.0) for tier in Tier}


def _kept(values: Values) -> Values:
    return {
        labels: value.copy() if isinstance(value, Histogram) else value
        for labels, value in values.items()
    }


def _sizes(files: Mapping[str, Path]) -> dict[Labels, float]:
    found: dict[Labels, float] = {}
    for name, path in files.items():
        try:
            found[(name,)] = path.stat().st_size
        except OSError:
            continue  # the log of writes is not there when it is empty
    return found


def _sources(observed: Observed) -> dict[str, Source]:
    return {
        **_of_calls(observed.meters),
        **_of_orders(observed),
        **_of_attempts(observed),
        **_of_work(observed.room, observed.meters),
        **_of_store(observed.meters),
        **_of_process(observed),
    }


def _one(value: float | Histogram) -> Values:
    """Return the values of a metric without labels."""
    return {(): value}


def _by_tier(values: Mapping[int, float] | Mapping[int, Histogram]) -> Values:
    return {(name,): values[tier] for tier, name in TIERS.items()}


def _of_calls(meters: Meters) -> dict[str, Source]:
    calls, methods = meters.calls, meters.calls.methods
    return {
        "rpc_calls_total": lambda: {
            (method, code): count
            for method, found in methods.items()
            for code, count in found.codes.items()
        },
        "rpc_duration_seconds": lambda: {
            (method,): found.seconds for method, found in methods.items() if found.seconds
        },
        "rpc_in_flight": lambda: {(name,): found.in_flight for name, found in methods.items()},
        "refusals_total": lambda: calls.refusals,
        "authentication_failures_total": lambda: calls.authentication_failures,
        "malformed_requests_total": lambda: _one(calls.malformed),
        "stream_ends_total": lambda: calls.ends,
    }


def _of_orders(observed: Observed) -> dict[str, Source]:
    commits, stats, log = observed.meters.commits, observed.stats, observed.completions
    return {
        "orders_accepted_total": lambda: _by_tier(commits.accepted),
        "orders_replayed_total": lambda: _by_tier(commits.replayed),
        "orders_completed_total": lambda: commits.completed,
        "orders": lambda: {
            (name, state): getattr(stats.of(Tier(tier)).counts, state)
            for tier, name in TIERS.items()
            for state in STATES
        },
        "tier_paused": lambda: {
            (name,): stats.of(Tier(tier)).is_paused for tier, name in TIERS.items()
        },
        "queue_limit": lambda: _one(observed.facts.queue_limit),
        "wait_seconds": lambda: _by_tier(commits.waits),
        "estimates_total": lambda: observed.meters.promises.held,
        "log_head": lambda: _one(log.head),
        "subscribers": lambda: _one(log.subscribers),
        "subscriber_lag_completions": lambda: _one(log.lag),
    }


def _of_attempts(observed: Observed) -> dict[str, Source]:
    attempts = observed.meters.attempts
    return {
        "service_seconds": lambda: _by_tier(attempts.seconds),
        "attempts_total": lambda: attempts.ended,
        "quarantined_total": lambda: _one(attempts.quarantined),
        "failures_total": lambda: attempts.failures.counts,
        "workers": lambda: {
            ("own",): observed.facts.workers,
            ("remote",): observed.room.life.capacity,
        },
        "workers_busy": lambda: {
            ("own",): observed.workers.busy,
            ("remote",): len(observed.room.running),
        },
        "stuck_threads": lambda: _one(observed.stuck_threads()),
    }


def _of_work(room: WorkRoom, meters: Meters) -> dict[str, Source]:
    work = meters.work
    return {
        "remote_workers": lambda: _one(len(room.life)),
        "remote_slots_offered": lambda: _one(room.leasing.offered),
        "remote_calls_waiting": lambda: _one(len(room.leasing.waits)),
        "remote_outcomes_total": lambda: work.outcomes,
        "remote_answers_lost_total": lambda: {
            ("caller_left",): room.unawaited,
            **work.lost_answers,
        },
        "remote_oldest_lease_seconds": lambda: _one(room.running.oldest_seconds()),
        "remote_deaths_total": lambda: _one(work.deaths),
    }


def _of_store(meters: Meters) -> dict[str, Source]:
    commits = meters.commits
    return {
        "commit_seconds": lambda: _one(commits.seconds),
        "commit_changes": lambda: _one(commits.changes),
        "store_errors_total": lambda: commits.errors,
        "store_up": lambda: _one(commits.obstacle is None),
    }


def _of_process(observed: Observed) -> dict[str, Source]:
    meters = observed.meters
    return {
        "loop_stall_seconds": lambda: _one(meters.stalls),
        "log_lines_dropped_total": lambda: {(cause,): count for cause, count in LOST.items()},
        **dict.fromkeys(OF_OTHERS, dict),
    }
