"""What a commit says to PostgreSQL, in one call, and what is made of the answer."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orderintake_server.domain import (
    TRANSITIONS,
    Cancelled,
    Completion,
    Event,
    Lease,
    Order,
    QueueEntry,
    State,
    Tier,
)
from orderintake_server.store.changes import Committed
from orderintake_server.store.receipts import Accepted
from orderintake_server.store.rows import cancelled_of, number_of, standing_of
from orderintake_server.views import TierCounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orderintake_server.domain import NewOrder
    from orderintake_server.store.changes import Changes
    from orderintake_server.views import CountsByTier

    Row = Sequence[Any]
    Summary = Mapping[str, Any]

_VALUES = ", ".join(f"${number}" for number in range(1, 18))
CALL = f"SELECT * FROM orderintake.commit_changes({_VALUES})"
_SUMMARY, _REPLAYS, _STARTS, _CANCELS = 0, 1, 2, 3
"""Kinds of rows in the answer."""
_STANDING = slice(2, 24)
"""Where a row of the answer tells how an order stands; its crash count comes last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who commits: its session, and its how manieth commit this is."""

    session_id: int
    request: int
    max_crashes: int
    lease_seconds: float = 15.0
    opens: bool = False
    """Whether it only takes stock, and takes back what dead replicas had in process."""
    now: int | None = None
    """Microseconds since 1970; None: what the database's clock says."""
    held: Sequence[int] | None = None
    """Start sequences of all that it has in process, if an answer was lost."""


def arguments(changes: Changes, caller: Caller) -> list[Any]:
    """Write the arguments of CALL."""
    orders = [(n, order) for n, group in enumerate(changes.accepts) for order in group]
    accepts = [_accept(number, order) for number, order in orders]
    return [
        json.dumps(_said(changes, caller)),
        *_columns(_ends(changes), 7),
        *_columns(accepts, 9),
    ]


def _columns(rows: list[tuple[Any, ...]], width: int) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _ends(changes: Changes) -> list[tuple[Any, ...]]:
    """Write a row for each attempt that is over: what it came to, or that it is given back."""
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
    )


def _said(changes: Changes, caller: Caller) -> dict[str, Any]:
    """Say all that is no list of orders; what is absent is not asked for."""
    said: dict[str, Any] = {
        "session": caller.session_id,
        "request": caller.request,
        "now": caller.now,
        "held": caller.held,
        "max_crashes": caller.max_crashes,
        "lease": caller.lease_seconds,
        "opens": caller.opens or None,
        "cancels": list(changes.cancels) or None,
        "pauses": {str(int(tier)): is_paused for tier, is_paused in changes.pauses.items()} or None,
        "claims": [place.accept_sequence for place in changes.claims] or None,
    }
    capacity, take, page, prune = changes.capacity, changes.claim_next, changes.page, changes.prune
    if changes.accepts:
        said["room"] = {name: getattr(capacity, name) for name in capacity.__slots__}
    if take:
        said["take"] = {"most": take.most, "idle": take.is_idle, "alone": take.alone}
    if page:
        after = page.after
        said["page"] = {"rank": after.rank, "number": after.accept_sequence, "limit": page.limit}
    if prune:
        said["prune"] = {name: getattr(prune, name) for name in prune.__slots__}
    return {name: value for name, value in said.items() if value is not None}


class Answer:
    """What one call of CALL said."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Sort the rows by what they are."""
        self._rows = rows
        self.summary: Summary = json.loads(rows[-1][1])

    @property
    def is_superseded(self) -> bool:
        """Whether a later commit of this session came before: nothing was done."""
        return "is_superseded" in self.summary

    def _stand(self, kind: int) -> list[Order | Completion]:
        return [standing_of(row[_STANDING]) for row in self._rows if row[0] == kind]

    def committed(self, changes: Changes, *, before: Summary) -> Committed:
        """Tell what became of the changes, and what happened since the commit `before`."""
        said = self.summary
        attempts = [None if how is None else State(how) for how in said.get("attempts") or ()]
        settles = len(changes.settles)
        leases = self.leases()
        return Committed(
            settled=attempts[:settles],
            released=attempts[settles:],
            cancelled=self._cancelled(changes.cancels),
            accepted=Accepted(said, self._stand(_REPLAYS)).outcomes(changes.accepts),
            claimed=_claimed(leases, changes.claims) if changes.claims else [],
            claimed_next=leases if changes.claim_next else [],
            page=[QueueEntry(rank, n, Tier(t), c) for rank, n, t, c in said.get("page") or ()],
            pruned=said.get("pruned", 0),
            **happened(said, before),
        )

    def leases(self) -> list[Lease]:
        """Give what started, in that order."""
        return [
            Lease(order=order, crash_count=row[-1])
            for row in self._rows
            if row[0] == _STARTS and isinstance(order := standing_of(row[_STANDING]), Order)
        ]

    def _cancelled(self, numbers: Sequence[int]) -> list[Cancelled | None]:
        stands = {number_of(found): found for found in self._stand(_CANCELS)}
        return [cancelled_of(stands.get(number)) for number in numbers]


def happened(said: Summary, before: Summary) -> dict[str, Any]:
    """Tell how the store stands by a summary, and what happened since another, as News has it."""
    return {
        "counts": counts(said),
        "accept_counts": _since(said["came"], before["came"]),
        "completion_counts": _since(said["ended"], before["ended"]),
        "start_count": said["started"] - before["started"],
        "paused": frozenset(tier for tier in Tier if said["paused"][tier - 1]),
        "next_due": said["next_due"],
        "head": said["completed"],
        "earliest": said["earliest"],
    }


def counts(said: Summary) -> CountsByTier:
    """Tell how many orders of each tier stand where."""
    return {
        tier: TierCounts(
            queued=said["queued"][tier - 1],
            scheduled=said["scheduled"][tier - 1],
            processing=said["processing"][tier - 1],
        )
        for tier in Tier
    }


def _since(now: list[int], before: list[int]) -> Counter[Tier]:
    return Counter({tier: now[tier - 1] - before[tier - 1] for tier in Tier})


def _claimed(leases: list[Lease], claims: Sequence[QueueEntry]) -> list[Lease | None]:
    """Put leases where they were asked for, each once."""
    found = {lease.order.accept_sequence: lease for lease in leases}
    return [found.pop(place.accept_sequence, None) for place in claims]
