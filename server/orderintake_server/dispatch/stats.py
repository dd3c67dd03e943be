"""How each tier of the queue stands, and at what rates orders are accepted and completed."""

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

    def __init__(self, recovery: RecoveryReport, clock: Callable[[], float]) -> None:
        """Begin with what the store held; measure by `clock`, in seconds that never go back."""
        self._counts = recovery.counts
        self._paused = recovery.paused
        self._accepts = {tier: Rate(clock, memory_seconds=MEMORY_SECONDS) for tier in Tier}
        self._completions = {tier: Rate(clock, memory_seconds=MEMORY_SECONDS) for tier in Tier}

    def apply(self, state: StoreState) -> None:
        """Take over how the store stands, and count what has happened since the last time."""
        self._counts = state.counts
        self._paused = state.paused
        for tier in Tier:
            if state.accept_counts[tier]:
                self._accepts[tier].add(state.accept_counts[tier])
            if state.completion_counts[tier]:
                self._completions[tier].add(state.completion_counts[tier])

    def is_paused(self, tier: Tier) -> bool:
        """Tell whether an operator paused a tier."""
        return tier in self._paused

    def of(self, tier: Tier) -> TierStats:
        """Tell how a tier stands."""
        return TierStats(
            counts=self._counts[tier],
            accept_rate=self._accepts[tier].per_second(),
            completion_rate=self._completions[tier].per_second(),
            is_paused=tier in self._paused,
        )
