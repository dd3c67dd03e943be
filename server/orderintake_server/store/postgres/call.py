"""What a commit says to PostgreSQL, in one call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orderintake_server.domain import TRANSITIONS, Event, State
from orderintake_server.store.actions import postgres as actions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import NewOrder
    from orderintake_server.store.changes import Changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The replica that commits: its session, and the number of this commit among its own."""

    session_id: int
    request: int
    max_crashes: int
    lease_seconds: float = 15.0
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
    orders = [(n, order) for n, group in enumerate(changes.accepts) for order in group]
    accepts = [_accept(number, order) for number, order in orders]
    return [
        json.dumps(_asked(changes, caller)),
        *_columns(_ends(changes), 7),
        *_columns(accepts, 10),
    ]


def _columns(rows: list[tuple[Any, ...]], width: int) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _ends(changes: Changes) -> list[tuple[Any, ...]]:
    """Write a row for each attempt that is over: what its order becomes."""
    rows = []
    for order, ending in ((settle.lease.order, settle.ending) for settle in changes.settles):
        failure = ending.failure
        code, message = (failure.code, failure.message) if failure else (None, None)
        texts = (None if text is None else text.encode() for text in (code, message))
        how = TRANSITIONS[State.PROCESSING, ending.event]
        number, start = order.accept_sequence, order.start_sequence
        rows.append((number, start, how, *texts, ending.result, ending.retry_after))
    back = TRANSITIONS[State.PROCESSING, Event.RELEASE]
    rows += [
        (lease.order.accept_sequence, lease.order.start_sequence, back, None, None, None, 0)
        for lease in changes.releases
    ]
    return rows


def _accept(group: int, order: NewOrder) -> tuple[Any, ...]:
    return (
        group,
        order.customer_id,
        order.request_id,
        order.tier,
        order.content,
        UUID(bytes=order.digest),
        order.not_before,
        order.expire_time,
        order.redrive_of,
        order.trace,
    )


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
        "opens": caller.opens or None,
    }


def _asked(changes: Changes, caller: Caller) -> dict[str, Any]:
    """Write all that is no list of orders; what is absent is not asked for."""
    asked = _asked_by(caller) | actions.asked(changes)
    asked["claims"] = [place.accept_sequence for place in changes.claims] or None
    capacity, most_urgent, page, prune = (
        changes.capacity, changes.claim_next, changes.page, changes.prune,
    )  # fmt: skip
    if changes.accepts:
        asked["capacity"] = {name: getattr(capacity, name) for name in capacity.__slots__}
    if most_urgent:
        most, is_idle, alone = most_urgent.most, most_urgent.is_idle, most_urgent.alone
        asked["claim_next"] = {"most": most, "idle": is_idle, "alone": alone}
    if page:
        after = page.after
        asked["page"] = {"rank": after.rank, "number": after.accept_sequence, "limit": page.limit}
    if prune:
        asked["prune"] = {name: getattr(prune, name) for name in prune.__slots__}
    return {name: value for name, value in asked.items() if value is not None}
