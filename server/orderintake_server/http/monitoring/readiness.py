"""Whether the server is ready for new orders, and if not, why."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.metrics import Commits

FULL_SECONDS = 5.0
"""A full disk is a reason for so long after a commit met it. Then orders are let come again: only
they show whether there is room."""


class Readiness:
    """What a load balancer is told. A paused tier is no reason: its orders are accepted."""

    def __init__(self, commits: Commits, is_draining: Callable[[], bool]) -> None:
        """Begin as not ready."""
        self._commits = commits
        self.is_draining = is_draining
        """Tells whether the service stops."""
        self.has_started = False

    def reasons(self) -> list[str]:
        """Return why no new orders should come now; empty: they may."""
        if self.is_draining():
            return ["draining"]
        if not self.has_started:
            return ["starting"]
        obstacle = self._commits.obstacle
        is_past = time.monotonic() - self._commits.failed_at > FULL_SECONDS
        return [] if obstacle is None or (obstacle == "full" and is_past) else [f"store_{obstacle}"]
