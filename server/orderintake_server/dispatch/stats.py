"""How orders flow through each tier: how many stand where, and at what rates they come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.dispatch.rate import Rate
from orderintake_server.domain import Tier
from orderintake_server.views import TierStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.store.base import RecoveryReport
    from orderintake_server.store.changes import StoreState

MEMORY_SECONDS = 60.0
"""Rates for people to read: a minute or so."""


class QueueStats:
    """What the latest commit left, and the rates of the last minute."""

    def __init__(self, found: RecoveryReport, clock: Callable[[], float]) -> None:
        """Begin with what the store held; measure by `clock`, in seconds that never go back."""
        self._tallies = found.counts
        self._paused = found.paused
        self._came = {tier: Rate(clock, memory_seconds=MEMORY_SECONDS) for tier in Tier}
        self._ended = {tier: Rate(clock, memory_seconds=MEMORY_SECONDS) for tier in Tier}

    def note(self, news: StoreState) -> None:
        """Take note of what has happened."""
        self._tallies = news.counts
        self._paused = news.paused
        for tier in Tier:
            if news.accept_counts[tier]:
                self._came[tier].add(news.accept_counts[tier])
            if news.completion_counts[tier]:
                self._ended[tier].add(news.completion_counts[tier])

    def is_paused(self, tier: Tier) -> bool:
        """Tell whether an operator paused a tier."""
        return tier in self._paused

    def of(self, tier: Tier) -> TierStats:
        """Tell how a tier stands."""
        return TierStats(
            counts=self._tallies[tier],
            accept_rate=self._came[tier].per_second(),
            completion_rate=self._ended[tier].per_second(),
            is_paused=tier in self._paused,
        )
