"""The attempts that workers are known to make: what is measured of each, and told when it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server.domain import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orderintake_server.dispatch.estimate import ServiceTimes
    from orderintake_server.domain import Lease, State
    from orderintake_server.holders import LeaseKey
    from orderintake_server.metrics import Meters
    from orderintake_server.store.work import AttemptEnd
    from orderintake_server.telemetry.spans import Span, Spans
    from orderintake_server.work.words import Report


@dataclass(slots=True)
class _Attempt:
    worker_id: str
    began: float
    """By the clock of the service times."""
    span: Span | None
    """None: it was not begun here."""


class Running:
    """What this server knows of the attempts of workers; any of them may end at another server."""

    def __init__(
        self, *, times: ServiceTimes, meters: Meters, spans: Spans, order_id: Callable[[int], str]
    ) -> None:
        """Measure by `times`, count in `meters`, and tell of each attempt in a span of `spans`."""
        self._times = times
        self._meters = meters
        self._spans = spans
        self._order_id = order_id
        self._attempts: dict[int, _Attempt] = {}
        """By start sequence."""
        self._of: dict[str, set[int]] = {}
        """The start sequences of each worker's: its KeepLeases looks at these alone."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._attempts)

    def seconds(self, lease: Lease) -> float:
        """Return how long ago an attempt began, if it was begun here; else 0."""
        attempt = self._attempts.get(lease.order.start_sequence)
        return self._times.now() - attempt.began if attempt and attempt.span else 0.0

    def now(self) -> float:
        """Return the time, by the clock by which attempts begin."""
        return self._times.now()

    def oldest_seconds(self) -> float:
        """Return how long ago the oldest of them began, as far as that is known here; else 0."""
        now = self._times.now()
        return max((now - attempt.began for attempt in self._attempts.values()), default=0.0)

    def begin(self, worker_id: str, leases: Sequence[Lease]) -> int:
        """Begin those that are not known yet; return how many are: a repeated call brings them."""
        known = 0
        for lease in leases:
            order = lease.order
            if order.start_sequence in self._attempts:
                known += 1
                continue
            span = self._spans.leased(order, self._order_id(order.accept_sequence))
            self._add(order.start_sequence, _Attempt(worker_id, self._times.now(), span))
        return known

    def align(self, worker_id: str, starts: Iterable[int], *, since: float) -> None:
        """Know those of a worker that the store knows, as it was read at `since` or later."""
        known = set(starts)
        for start in self._of.get(worker_id, set()) - known:
            if self._attempts[start].began < since:
                self._leave(start)
        for start in known - self._attempts.keys():
            self._add(start, _Attempt(worker_id, since, None))

    def recorded(self, end: AttemptEnd, state: State) -> None:
        """Count how an attempt ended, whoever said so: it is told once of each."""
        tier = end.key.tier
        attempt = self._pop(end.key.start_sequence)
        failure = end.ending.failure if end.ending else None
        if attempt and attempt.span:
            attempt.span.end_attempt(failure.code if failure else "" if end.ending else None)
            if end.ending:
                self._meters.attempts.seconds[tier].add(self._times.add(attempt.began))
        if failure is not None:
            self._meters.attempts.fail(tier, failure.code, is_last=state in ENDED)
        else:
            self._meters.attempts.end(tier, "succeeded" if end.ending else "released")

    def told(self, report: Report, state: State | None) -> None:
        """Count what a worker said of an attempt; None: it was over before."""
        kind = "returned" if report.outcome is None else report.outcome.kind.name.lower()
        self._meters.work.outcomes[(kind if state else "lease_lost",)] += 1
        self._leave(report.key.start_sequence)

    def leave(self, keys: Iterable[LeaseKey]) -> None:
        """Forget attempts that were given back before they were made."""
        for key in keys:
            self._leave(key.start_sequence)

    def forget(self, worker_id: str) -> None:
        """Forget the attempts of a worker that has ended."""
        self.align(worker_id, (), since=math.inf)

    def _add(self, start: int, attempt: _Attempt) -> None:
        self._attempts[start] = attempt
        self._of.setdefault(attempt.worker_id, set()).add(start)

    def _pop(self, start: int) -> _Attempt | None:
        attempt = self._attempts.pop(start, None)
        if attempt is not None:
            mine = self._of[attempt.worker_id]
            mine.remove(start)
            if not mine:
                del self._of[attempt.worker_id]
        return attempt

    def _leave(self, start: int) -> None:
        attempt = self._pop(start)
        if attempt and attempt.span:
            attempt.span.end_attempt(None)
