"""What PostgreSQL answers to a commit, and what that means."""

from __future__ import annotations

import json
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

from orderintake_server.domain import Completion, Durability, Lease, Order, QueueEntry, State, Tier
from orderintake_server.errors import RequestIdReused
from orderintake_server.holders import LentLease
from orderintake_server.store.at_work import postgres as at_work
from orderintake_server.store.changes import Committed, OverCapacity
from orderintake_server.store.postgres.call import ends_asked
from orderintake_server.store.postgres.known_state import KnownState
from orderintake_server.store.receipts import Pruned, Receipts
from orderintake_server.store.rows import STANDING_WIDTH, cancelled_of, number_of, standing_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orderintake_server.domain import Cancelled, NewOrder
    from orderintake_server.store.changes import Cancel, Changes
    from orderintake_server.store.receipts import Decision, Outcome

    Row = Sequence[Any]
    Summary = Mapping[str, Any]

_SUMMARY, _REPLAYS, _STARTS, _CANCELS = range(4)
"""Kinds of rows in the answer."""
_KIND, _JSON, _FIRST = range(3)
"""A row: its kind, the summary, an order as it stands, and last the order's crash count."""
_STANDING = slice(_FIRST, _FIRST + STANDING_WIDTH)


class Answer:
    """The answer of one call of `commit_changes`."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Read the rows; the summary comes last."""
        self._rows = rows
        self.summary: Summary = json.loads(rows[-1][_JSON])

    @property
    def is_superseded(self) -> bool:
        """Whether a later commit of this session came before: nothing was done."""
        return "is_superseded" in self.summary

    @cached_property
    def leases(self) -> list[Lease]:
        """Give what started, in that order, and behind it what calls of workers are told again."""
        leases = [
            Lease(order=order, crash_count=row[-1])
            for row in self._rows
            if row[_KIND] == _STARTS and isinstance(order := standing_of(row[_STANDING]), Order)
        ]
        return at_work.lent(leases, self.summary) if "holders" in self.summary else leases

    def read(self, changes: Changes) -> Committed:
        """Tell what became of the changes, and how the store stands, by this answer alone."""
        state = KnownState(self.summary).report()
        return self._committed(changes, accepted=self._accepted(changes.accepts), state=state)

    def _accepted(self, groups: Sequence[Sequence[NewOrder]]) -> list[Outcome]:
        """Write the receipts of each group, without the places of orders accepted before."""
        summary = self.summary
        decisions = _decisions(summary, groups)
        pruned = summary.get("pruned_orders") or {}
        receipts = Receipts(
            accepted_before=summary.get("accepted_before", 0),
            accept_time=summary["accept_time"],
            now=summary["time"],
            head=summary.get("completed_then", summary["completed"]),
            durability=Durability[summary["durability"]],
            ahead=_ahead(summary, groups, decisions),
            stands={number_of(found): found for found in self._stand(_REPLAYS)},
            pruned={int(number): Pruned(*found) for number, found in pruned.items()},
        )
        return receipts.of(groups, decisions)

    def _committed(
        self, changes: Changes, *, accepted: list[Outcome], state: Mapping[str, Any]
    ) -> Committed:
        """Tell what became of the changes. `state`: how the store stands, as StoreState has it."""
        summary, settles = self.summary, len(changes.settles)
        started = len(self.leases) - len(summary.get("told_again") or ())
        leases, again = self.leases[:started], self.leases[started:]
        attempts, quiet = _attempts(summary, changes), settles + len(changes.releases)
        return Committed(
            settled=attempts[:settles],
            released=attempts[settles:quiet],
            work=at_work.done(summary, changes, attempts),
            told_again=[lease for lease in again if isinstance(lease, LentLease)],
            closed=set(summary["closed"]) if "closed" in summary else (),
            overdue=at_work.overdue(summary),
            news=tuple(sorted(set(summary.get("told_workers") or ()))),
            cancelled=self._cancelled(changes.cancels),
            cancelled_waiting=[
                {Tier(tier): count for tier, count in enumerate(counts, start=1) if count}
                for counts in summary.get("cancelled_waiting") or ()
            ],
            accepted=accepted,
            claimed=_claimed(leases, changes.claims) if changes.claims else [],
            claimed_next=leases if changes.claim_next else [],
            page=[QueueEntry(rank, n, Tier(t), c) for rank, n, t, c in summary.get("page") or ()],
            pruned=summary.get("pruned", 0),
            **state,
        )

    def _stand(self, kind: int) -> list[Order | Completion]:
        return [standing_of(row[_STANDING]) for row in self._rows if row[_KIND] == kind]

    def _cancelled(self, cancels: Sequence[Cancel]) -> list[Cancelled | None]:
        stands = {number_of(found): found for found in self._stand(_CANCELS)}
        return [cancelled_of(stands.get(cancel.accept_sequence)) for cancel in cancels]


def _attempts(summary: Summary, changes: Changes) -> list[State | None]:
    """Tell how the orders stand whose attempts are over; mostly as was asked."""
    asked = ends_asked(changes)
    if "attempts" not in summary:
        return [*asked]
    found = dict(zip(*summary["attempts"], strict=True))
    return [State(found[o]) if o in found else None for o in range(1, len(asked) + 1)]


def _decisions(summary: Summary, groups: Sequence[Sequence[NewOrder]]) -> list[Decision]:
    """Put the numbers to their groups, and the refusals; mostly all orders are new."""
    numbers = iter(summary.get("numbers") or count(summary.get("accepted_before", 0) + 1))
    found: list[Decision] = [[next(numbers) for _ in group] for group in groups]
    for group, *why in summary.get("refusals") or ():
        found[group] = _refusal(*why)
    return found


def _refusal(why: str, number: int, text: str | None) -> RequestIdReused | OverCapacity:
    if why == "reused":
        return RequestIdReused(request_id=text or "", accept_sequence=number)
    return OverCapacity(number, text)


def _ahead(
    summary: Summary, groups: Sequence[Sequence[NewOrder]], decisions: Sequence[Decision]
) -> dict[Tier, int]:
    """Count who was in the queue before the first new order of each tier.

    A new order comes after all that waits in its tier; a regular one also after every VIP order;
    and a VIP one, where there is a head start, after those regular ones that are overdue.
    """
    if "queued_then" not in summary:
        return {}
    queued = {
        number: order.tier
        for group, found in zip(groups, decisions, strict=True)
        if isinstance(found, list)
        for number, order in zip(found, group, strict=True)
        if number > summary["accepted_before"] and order.not_before <= summary["time"]
    }
    regular, vip = summary["queued_then"]
    new_vips = sum(tier is Tier.VIP for tier in queued.values())
    return {
        Tier.REGULAR: regular + vip - (len(queued) - new_vips),
        Tier.VIP: vip - new_vips + summary["overdue"],
    }


def _claimed(leases: list[Lease], claims: Sequence[QueueEntry]) -> list[Lease | None]:
    """Put leases where they were asked for, each once."""
    found = {lease.order.accept_sequence: lease for lease in leases}
    return [found.pop(place.accept_sequence, None) for place in claims]
