"""The workers of a PostgreSQL store: what they say is told to the database, and they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orderintake_server.domain import State, Tier
from orderintake_server.holders import (
    HeldLease,
    Holder,
    LeaseKey,
    LentLease,
    TakenBack,
    WorkerRow,
)
from orderintake_server.store.blame.postgres import talking
from orderintake_server.store.rows import ACCEPTED, order_of
from orderintake_server.store.work import WorkDone, WorkerState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from orderintake_server.domain import Lease, Order
    from orderintake_server.store.changes import Changes, ClaimNext
    from orderintake_server.store.work import Work

    Fetch = Callable[..., Awaitable[Sequence[Sequence[Any]]]]
    """Returns the rows of a query, asked with its values."""


# What a commit says and answers


def asked(changes: Changes) -> dict[str, Any]:
    """Return what a commit says of workers; what is absent is not asked for."""
    work, holders = changes.work, changes.holders
    return {
        "quiet": _quiet(changes) if work and work.reports else None,
        "work": _said(work) if work else None,
        "holders": [who and [who.worker_id, who.call] for who in holders] if any(holders) else None,
        "names": _names(changes) or None,
        "attempt_limit": changes.attempt_limit or None,
    }


def _names(changes: Changes) -> dict[str, list[Any]]:
    """Return how the workers call themselves that may be given orders, with their capacities."""
    takes = changes.claim_next.takes if changes.claim_next else ()
    who = [*changes.holders, *(take.holder for take in takes)]
    said = [each for each in who if each and (each.name or each.capacity)]
    return {each.worker_id: [each.name, each.capacity] for each in said}


def _quiet(changes: Changes) -> int:
    """Return how many attempts end before those that workers report."""
    return len(changes.settles) + len(changes.releases)


def _said(work: Work) -> dict[str, Any]:
    return {"words": [list(word) for word in work.words], "ends": work.ends, "deaths": work.deaths}


def offered(claim: ClaimNext) -> dict[str, Any]:
    """Return who offers to take orders; only where workers do, each by itself."""
    if claim.own == claim.most:
        return {"most": claim.most}
    return {"takes": [[*_holder(take.holder), take.most] for take in claim.takes]}


def _holder(holder: Holder | None) -> tuple[str, int]:
    return (holder.worker_id, holder.call) if holder else ("", 0)


def lent(leases: Iterable[Lease], summary: Mapping[str, Any]) -> list[Lease]:
    """Tell of these leases which ones workers have."""
    holders = {start: Holder(*holder) for start, *holder in summary.get("holders") or ()}
    return [_lent(lease, holders.get(lease.order.start_sequence)) for lease in leases]


def _lent(lease: Lease, holder: Holder | None) -> Lease:
    if holder is None:
        return lease
    return LentLease(order=lease.order, crash_count=lease.crash_count, holder=holder)


def done(
    summary: Mapping[str, Any], changes: Changes, states: list[State | None]
) -> WorkDone | None:
    """Read what became of what workers said; `states`: of all orders whose attempts are over."""
    work, quiet = changes.work, _quiet(changes)
    if not work:
        return None
    had = {worker_id: taken for worker_id, _, taken in summary.get("buried") or ()}
    return WorkDone(
        reports=states[quiet:],
        repeated=_repeated(summary, quiet, len(work.reports)),
        words=[WorkerState[stands] for stands in summary["words"]],
        ends=[_taken(leases) for leases in summary["worker_ends"]],
        deaths=[_taken(had.pop(worker_id, ())) for worker_id in work.deaths],
    )


def _repeated(summary: Mapping[str, Any], quiet: int, reports: int) -> list[int]:
    """Tell which reports ended nothing; mostly all of them ended their attempts."""
    if "ended_now" not in summary:
        return []
    ended = set(summary["ended_now"])
    return [place for place in range(reports) if quiet + place + 1 not in ended]


def _taken(leases: Iterable[Sequence[int]]) -> list[TakenBack]:
    return [TakenBack(_key(*key), State(state)) for *key, state in leases]


def overdue(summary: Mapping[str, Any]) -> dict[LeaseKey, str]:
    """Read which attempts of workers should have ended."""
    return {_key(*key): worker_id for *key, worker_id in summary.get("late") or ()}


def _key(accept: int, start: int, tier: int, attempts: int, crashes: int) -> LeaseKey:
    return LeaseKey(accept, start, Tier(tier), attempts, crashes)


# What is read


class PostgresAtWork:
    """Keeps `AtWork`."""

    def __init__(
        self,
        fetch: Fetch,
        worker_lease: float,
        follow: Callable[[Callable[[], Mapping[str, float]]], None],
    ) -> None:
        """Read with `fetch`; a worker is dead that was silent for `worker_lease` seconds.

        `follow` keeps `AtWork.follow`.
        """
        self._fetch = fetch
        self._worker_lease = worker_lease
        self._follow = follow

    async def read_worker(self, worker_id: str) -> WorkerRow | None:
        """Keep `AtWork.read_worker`."""
        found = await self._rows("k.worker_id = $2", worker_id)
        return found[0] if found else None

    async def list_workers(self) -> list[WorkerRow]:
        """Keep `AtWork.list_workers`."""
        return await self._rows("k.ended_at = 0")

    async def _rows(self, which: str, *values: object) -> list[WorkerRow]:
        rows = await self._fetch(_WORKERS.format(which=which), self._worker_lease, *values)
        with talking():
            return _workers(rows)

    async def leases_of(self, holder: Holder) -> list[LentLease]:
        """Keep `AtWork.leases_of`."""
        if not holder.call:
            return []
        rows = await self._fetch(_LEASES, holder.worker_id, holder.call)
        with talking():
            return [
                LentLease(order=_order(row), crash_count=row[-1], holder=holder) for row in rows
            ]

    def follow(self, ages: Callable[[], Mapping[str, float]]) -> None:
        """Keep `AtWork.follow`."""
        self._follow(ages)


def _workers(rows: Sequence[Sequence[Any]]) -> list[WorkerRow]:
    """Make workers of rows, of which there is one for each lease."""
    found: dict[int, tuple[Sequence[Any], list[HeldLease]]] = {}
    for row in rows:
        leases = found.setdefault(row[0], (row[1:_LEASE], []))[1]
        if row[_LEASE] is not None:
            leases.append(_held(*row[_LEASE:]))
    return [
        WorkerRow(**dict(zip(_COLUMNS, worker, strict=True)), leases=leases)
        for worker, leases in found.values()
    ]


def _held(*columns: int) -> HeldLease:
    *key, call, start_time, is_cancel_requested = columns
    return HeldLease(_key(*key), call, start_time, bool(is_cancel_requested))


def _order(row: Sequence[Any]) -> Order:
    *accepted, attempts, start_sequence, start_time, _ = row
    return order_of(accepted, State.PROCESSING, (attempts, start_sequence, start_time))


_COLUMNS = (
    *("worker_id", "name", "capacity", "since", "heard"),
    *("is_local", "is_stopping", "is_ended"),
)
_LEASE = 1 + len(_COLUMNS)
"""The first column of the lease, behind the worker's number and columns."""
_WORKERS = """
SELECT k.number, k.worker_id, k.name, k.capacity,
  (extract(epoch FROM k.since) * 1000000)::bigint,
  (extract(epoch FROM k.expires_at - make_interval(secs => $1)) * 1000000)::bigint,
  k.supervisor > 0, k.is_stopping OR coalesce(s.is_stopping, false), k.ended_at > 0,
  l.accept_sequence, l.start_sequence, o.tier, l.attempt_count, l.crash_count, l.call, l.start_time,
  l.cancel_requested
FROM orderintake.workers k
LEFT JOIN orderintake.sessions s ON s.session_id = k.supervisor
LEFT JOIN orderintake.leases l ON l.worker = k.number AND l.worker > 0
LEFT JOIN orderintake.orders o ON o.accept_sequence = l.accept_sequence
WHERE {which} ORDER BY k.number, l.start_sequence
"""
_LEASES = f"""
SELECT {ACCEPTED}, l.attempt_count, l.start_sequence, l.start_time, l.crash_count
FROM orderintake.workers k
JOIN orderintake.leases l ON l.worker = k.number AND l.worker > 0 AND l.call = $2
JOIN orderintake.orders o ON o.accept_sequence = l.accept_sequence
WHERE k.worker_id = $1 ORDER BY l.start_sequence
"""
