"""What a commit says to PostgreSQL, in one call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncpg.pgproto.pgproto import UUID

from orderintake_server.domain import TRANSITIONS, Ending, Event, State
from orderintake_server.store.actions import postgres as actions
from orderintake_server.store.at_work import postgres as at_work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.store.changes import Changes


_BECOMES = {
    event: then for (state, event), then in TRANSITIONS.items() if state is State.PROCESSING
}
_RELEASED = Ending(event=Event.RELEASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The replica that commits: its session, and the number of this commit among its own."""

    session_id: int
    request: int
    max_crashes: int
    lease_seconds: float = 15.0
    worker_lease: float = 30.0
    """Seconds after which a worker that was silent is dead."""
    buries: bool = False
    """Whether to look for workers that were silent for too long."""
    opens: bool = False
    """Whether it only takes stock, and recovers what expired replicas had in process."""
    now: int | None = None
    """Microseconds since 1970; None: what the database's clock says."""
    held: Sequence[int] | None = None
    """Start sequences of all that it has in process, if an answer was lost."""
    leap: int | None = 0
    """By how much the clock leapt, as far as it is not in `leapt`; 0: not, or others judge it."""
    leapt: int | None = 0
    """By how much the clock had leapt in all when `leap` was seen."""
    expected: int | None = None
    """What the clock says now at the most, if it did not leap; None: that is not known."""


def arguments(changes: Changes, caller: Caller) -> list[Any]:
    """Write the arguments of `commit_changes`."""
    return [json.dumps(_asked(changes, caller)), *_ends(changes), *_accepts(changes)]


def _if_any(column: list[Any]) -> Sequence[Any]:
    """Leave out a column of None: to PostgreSQL all of it is NULL then."""
    return column if column.count(None) < len(column) else ()


def _ends(changes: Changes) -> list[Sequence[Any]]:
    """Write the columns of the attempts that are over: what the order of each becomes."""
    leases = [*(settle.lease for settle in changes.settles), *changes.releases]
    ended = [(lease.order.accept_sequence, lease.order.start_sequence) for lease in leases]
    endings = [settle.ending for settle in changes.settles]
    if changes.work and changes.work.reports:
        reports = changes.work.reports
        ended += [(report.key.accept_sequence, report.key.start_sequence) for report in reports]
        endings += [_RELEASED] * len(changes.releases)
        endings += [report.ending or _RELEASED for report in reports]
    failures = [ending.failure for ending in endings]
    return [
        [accept_sequence for accept_sequence, _ in ended],
        [start_sequence for _, start_sequence in ended],
        ends_asked(changes),
        _if_any([failure and failure.code.encode() for failure in failures]),
        _if_any([failure and failure.message.encode() for failure in failures]),
        _if_any([ending.result for ending in endings]),
        _if_any([ending.retry_after or None for ending in endings]),
    ]


def ends_asked(changes: Changes) -> list[State]:
    """Tell what is asked to become of the orders whose attempts are over.

    First come those settled, then those released, and last those that workers report.
    """
    settled = [_BECOMES[settle.ending.event] for settle in changes.settles]
    asked = settled + [_BECOMES[Event.RELEASE]] * len(changes.releases)
    if changes.work:
        asked += [_BECOMES[(end.ending or _RELEASED).event] for end in changes.work.reports]
    return asked


def _accepts(changes: Changes) -> list[Sequence[Any]]:
    """Write the columns of the orders to accept."""
    orders = [order for group in changes.accepts for order in group]
    return [
        [number for number, group in enumerate(changes.accepts) for _ in group],
        [order.customer_id for order in orders],
        _if_any([order.request_id for order in orders]),
        [order.tier for order in orders],
        [order.content for order in orders],
        _if_any([order.request_id and UUID(order.digest) for order in orders]),
        _if_any([order.not_before or None for order in orders]),
        _if_any([order.expire_time or None for order in orders]),
        _if_any([order.redrive_of or None for order in orders]),
        _if_any([order.trace for order in orders]),
    ]


def _asked_by(caller: Caller) -> dict[str, Any]:
    return {
        "session": caller.session_id,
        "request": caller.request,
        "now": caller.now,
        "held": caller.held,
        "leap": caller.leap or None,
        "leapt": caller.leapt,
        "expected": caller.expected,
        "max_crashes": caller.max_crashes,
        "lease": caller.lease_seconds,
        "worker_lease": caller.worker_lease,
        "bury": caller.buries or None,
        "opens": caller.opens or None,
    }


def _asked(changes: Changes, caller: Caller) -> dict[str, Any]:
    """Write all that is no list of orders; what is absent is not asked for."""
    asked = _asked_by(caller) | actions.asked(changes) | at_work.asked(changes)
    asked["claims"] = [place.accept_sequence for place in changes.claims] or None
    capacity, most_urgent, page, prune = (
        changes.capacity, changes.claim_next, changes.page, changes.prune,
    )  # fmt: skip
    if changes.accepts:
        asked["capacity"] = {name: getattr(capacity, name) for name in capacity.__slots__}
    if most_urgent:
        asked["claim_next"] = {"idle": most_urgent.is_idle, "alone": most_urgent.alone}
        asked["claim_next"] |= at_work.offered(most_urgent)
    if page:
        after = page.after
        asked["page"] = {"rank": after.rank, "number": after.accept_sequence, "limit": page.limit}
    if prune:
        asked["prune"] = {name: getattr(prune, name) for name in prune.__slots__}
    return {name: value for name, value in asked.items() if value is not None}
