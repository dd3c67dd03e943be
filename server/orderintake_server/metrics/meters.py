"""All that one server counts while it works, by who counts it."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from orderintake_server import errors
from orderintake_server.domain import ENDED, Tier
from orderintake_server.metrics.calls import Calls
from orderintake_server.metrics.counts import Histogram, Limited, counts
from orderintake_server.metrics.promises import Promises
from orderintake_server.metrics.table import (
    COMMIT_CHANGES,
    COMMIT_SECONDS,
    ORDER_SECONDS,
    STALL_SECONDS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orderintake_server.domain import Order, Receipt, State

TIERS: Mapping[int, str] = {tier: tier.name.lower() for tier in Tier}
ENDS: Mapping[int, str] = {state: state.name.lower() for state in sorted(ENDED)}
OUTCOMES = ("succeeded", "retry", "failed", "timeout", "cancelled", "released", "crashed")
_BY_CODE = {"ATTEMPT_TIMEOUT": "timeout", "CANCELLED": "cancelled"}
WORDS = ("succeeded", "failed", "rejected", "retry", "returned", "lease_lost")
"""What workers in processes of their own say of attempts, and that it came too late."""
LOST_ANSWERS = ("repeat", "inventory")
"""By what a worker says that an answer with orders did not arrive."""
RECENT_COMMITS = 1_000
NAMED_CODES = 50
"""Codes of failures that have a series of their own: a handler may make up any number."""
STORE_ERRORS: Mapping[type[errors.StoreError], str] = {
    errors.StoreRefused: "refused",
    errors.StoreFull: "full",
    errors.StoreBusy: "busy",
    errors.StoreAway: "away",
    errors.StoreBroken: "broken",
    errors.StoreGone: "broken",
}


class Commits:
    """What commits did, and whether the store can be written."""

    def __init__(self) -> None:
        """Begin with a store that can be written."""
        self.seconds = Histogram(COMMIT_SECONDS)
        self.recent: deque[float] = deque(maxlen=RECENT_COMMITS)
        """How many seconds each of the newest commits took."""
        self.changes = Histogram(COMMIT_CHANGES)
        self.errors = counts(dict.fromkeys(STORE_ERRORS.values()))
        self.accepted: Counter[int] = Counter()
        self.replayed: Counter[int] = Counter()
        self.completed = counts(TIERS.values(), ENDS.values())
        self.waits = {int(tier): Histogram(ORDER_SECONDS) for tier in Tier}
        self.obstacle: str | None = None
        """Of which kind the error was with which the last commit failed; None: it succeeded."""
        self.failed_at = 0.0
        """When a commit failed last, by time.monotonic()."""

    def failed(self, error: errors.StoreError) -> None:
        """Count a commit that failed. What the store refuses says nothing of the store."""
        kind = STORE_ERRORS.get(type(error), "broken")
        self.errors[(kind,)] += 1
        if not isinstance(error, errors.StoreRefused):
            self.obstacle, self.failed_at = kind, time.monotonic()

    def committed(self, seconds: float, changes: int) -> None:
        """Count a commit of so many changes that took so long."""
        self.seconds.add(seconds)
        self.recent.append(seconds)
        self.changes.add(changes)
        self.obstacle = None

    def took(self, receipts: Iterable[Receipt]) -> None:
        """Count the orders of a group that was accepted, or answered again."""
        for receipt in receipts:
            (self.replayed if receipt.replayed else self.accepted)[receipt.order.tier] += 1

    def started(self, order: Order) -> None:
        """Count how long an order has waited, at its first start."""
        if order.attempt_count == 1:
            since = max(order.accept_time, order.not_before)
            self.waits[order.tier].add(max(order.start_time - since, 0) / 1e6)

    def ended(self, tier: Tier, state: State, count: int = 1) -> None:
        """Count orders that ended in this state."""
        self.completed[TIERS[tier], ENDS[state]] += count


class Attempts:
    """How attempts ended."""

    def __init__(self) -> None:
        """Begin without one."""
        self.ended = counts(TIERS.values(), OUTCOMES)
        self.seconds = {int(tier): Histogram(ORDER_SECONDS) for tier in Tier}
        self.failures = Limited(NAMED_CODES)
        self.quarantined = 0

    def end(self, tier: Tier, outcome: str) -> None:
        """Count an attempt that ended so: one of OUTCOMES."""
        self.ended[TIERS[tier], outcome] += 1

    def fail(self, tier: Tier, code: str, *, is_last: bool) -> None:
        """Count an attempt that did not succeed, by its code; the order's last one, or not."""
        self.failures.add(code)
        self.end(tier, _BY_CODE.get(code, "failed" if is_last else "retry"))


class Work:
    """What workers in processes of their own said, and what became of them."""

    def __init__(self) -> None:
        """Begin without one."""
        self.outcomes = counts(WORDS)
        self.lost_answers = counts(LOST_ANSWERS)
        """How many orders were in each."""
        self.deaths = 0

    def lose(self, found: str, orders: int) -> None:
        """Count an answer with orders that was lost, and how that was found: a LOST_ANSWERS."""
        self.lost_answers[(found,)] += orders


class Meters:
    """The counts of one server."""

    def __init__(self, *, quarantined: int = 0) -> None:
        """Begin with nothing counted, but the orders that the start has quarantined."""
        self.calls = Calls()
        self.commits = Commits()
        self.attempts = Attempts()
        self.attempts.quarantined = quarantined
        self.work = Work()
        self.promises = Promises()
        self.stalls = Histogram(STALL_SECONDS)
