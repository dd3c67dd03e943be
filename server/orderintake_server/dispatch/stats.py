"""The statistics of each tier: counts, pauses, and the rates of accepts and completions."""

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
"""Rates that operators read are measured over about a minute."""


class QueueStats:
    """The counts and pauses after the latest commit, and the rates of the last minute."""

    def __init__(self, recovery: RecoveryReport, clock: Callable[[], float]) -> None:
        """Begin with what the store held; measure with `clock`, in seconds that never go back."""
        self._counts = recovery.counts
        self._paused = recovery.paused
        self._accepts = {tier: Rate(clock, memory_seconds=MEMORY_SECONDS) for tier in Tier}
        self._completions = {tier: Rate(clock, memory_seconds=MEMORY_SECONDS) for tier in Tier}

    def apply(self, state: StoreState) -> None:
        """Keep the store's state, and count what has happened since the last one."""
        self._counts = state.counts
        self._paused = state.paused
        for tier in Tier:
            if state.accept_counts[tier]:
                self._accepts[tier].add(state.accept_counts[tier])
            if state.completion_counts[tier]:
                self._completions[tier].add(state.completion_counts[tier])

    def of(self, tier: Tier) -> TierStats:
        """Return the statistics of a tier."""
        return TierStats(
            counts=self._counts[tier],
            accept_rate=self._accepts[tier].per_second(),
            completion_rate=self._completions[tier].per_second(),
            is_paused=tier in self._paused,
        )
