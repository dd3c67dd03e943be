"""Whether the store can be written: told once when that changes, and tried again after a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.errors import StoreFull
from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.errors import StoreObstacle

log = get_logger()


class Reach:
    """What is known of the store by the latest commit."""

    def __init__(self, probe_seconds: float, steady: Callable[[], int]) -> None:
        """Begin with a store that can be written; try one that is away after `probe_seconds`."""
        self._probe_seconds = probe_seconds
        self._steady = steady
        self._is_unwritable = False
        self.probe_at: int | None = None
        """When, by the steady time, to commit even if there are no changes; None: not at all."""

    def lose(self, obstacle: StoreObstacle, on_reach: Callable[[bool], object]) -> None:
        """Note that a commit met an obstacle; `on_reach` gets False, unless it is a full disk.

        Only a full disk is not probed: each request shows by itself whether there is room again.
        """
        is_away = not isinstance(obstacle, StoreFull)
        if not self._is_unwritable:
            self._is_unwritable = True
            log.error("the store cannot be written; orders are refused", error=str(obstacle))
            on_reach(not is_away)
        if is_away:
            self.probe_at = self._steady() + round(self._probe_seconds * 1e6)

    def regain(self, on_reach: Callable[[bool], object]) -> None:
        """Note that a commit succeeded; `on_reach` gets True if the one before had not."""
        if self._is_unwritable:
            self._is_unwritable, self.probe_at = False, None
            on_reach(True)  # noqa: FBT003 - it is the only argument
            log.info("the store can be written again; orders are accepted")
