"""How the store stands, as far as a replica has seen, and how much of that it has reported."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from orderintake_server.domain import State, Tier
from orderintake_server.store.base import RecoveryReport
from orderintake_server.views import TierCounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orderintake_server.views import CountsByTier

    Row = Mapping[str, Any]
    """A row of the table commits, by name."""


class KnownState:
    """The newest commit that was seen; what was reported last is an older one, or the same."""

    def __init__(self, row: Row) -> None:
        """Know how the store stands; there is nothing to report of it."""
        self._seen = self._reported = row

    @property
    def number(self) -> int:
        """The number of the commit that was seen."""
        return int(self._seen["number"])

    @property
    def time(self) -> int:
        """Its time."""
        return int(self._seen["time"])

    @property
    def leapt(self) -> int:
        """By how much the database's clock had leapt in all, as far as that was added."""
        return int(self._seen["leapt"])

    @property
    def cancels(self) -> int:
        """How often attempts under way were asked to stop, up to it."""
        return int(self._seen["cancels"])

    @property
    def news(self) -> int:
        """How often something became of workers that those who hear them have to know."""
        return int(self._seen["news"])

    def see(self, row: Row) -> None:
        """Know a commit, unless a newer one was seen."""
        if row["number"] >= self._seen["number"]:
            self._seen = row

    def report(self) -> dict[str, Any]:
        """Tell how the store stands, and what happened since the last report, as StoreState has it.

        Reports may be asked for in any order: none is of an older commit than the one before.
        """
        now, before = self._seen, self._reported
        self._reported = now
        return {
            "counts": _counts(now),
            "accept_counts": _growth(now["accepted_total"], before["accepted_total"]),
            "completion_counts": _growth(now["completed_total"], before["completed_total"]),
            "start_count": now["started"] - before["started"],
            "paused": _paused(now),
            "next_due": _soonest(now["next_due"], now["next_deadline"]),
            "capacity": now["capacity"],
            "head": now["completed"],
            "earliest": now["earliest"],
        }


def recovery_report(row: Row, log_id: str, kept: int) -> RecoveryReport:
    """Tell what the store held when it was opened, by the answer to that."""
    recovered, quarantined = row.get("recovered") or (0, 0)
    lost = Counter(lease[-1] for *_, leases in row.get("buried") or () for lease in leases)
    return RecoveryReport(
        log_id=log_id,
        counts=_counts(row),
        recovered=recovered + lost[State.QUEUED],
        quarantined=quarantined + lost[State.FAILED],
        head=row["completed"],
        earliest=row["earliest"],
        paused=_paused(row),
        kept=kept,
    )


def _soonest(*times: int | None) -> int | None:
    return min((time for time in times if time is not None), default=None)


def _counts(row: Row) -> CountsByTier:
    """Tell how many orders of each tier stand where."""
    return {
        tier: TierCounts(
            queued=row["queued"][tier - 1],
            scheduled=row["scheduled"][tier - 1],
            processing=row["processing"][tier - 1],
        )
        for tier in Tier
    }


def _paused(row: Row) -> frozenset[Tier]:
    """Tell which tiers are paused."""
    return frozenset(tier for tier in Tier if row["paused"][tier - 1])


def _growth(now: list[int], before: list[int]) -> Counter[Tier]:
    return Counter({tier: now[tier - 1] - before[tier - 1] for tier in Tier})
