"""When a stream begins: those that one connection begins at once begin one after the other."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FREE = 8
"""So many streams of a connection begin at once."""
STEP_SECONDS = 0.01
"""Between two that follow. Each costs about half a millisecond: twenty connections that begin all
their streams together leave time for other callers."""

_ROUNDING = 1e-6
KEPT_SECONDS = 1.0
"""How often connections are forgotten that began no stream of late."""


class Starts:
    """Spreads the starts of a connection's streams: 64 at once begin over half a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without a stream. `clock` counts seconds."""
        self._clock = clock
        self._next: dict[str, float] = {}

    @property
    def connections(self) -> list[str]:
        """Those that began a stream of late."""
        return list(self._next)

    async def turn(self, connection: str) -> None:
        """Wait until a stream of this connection may begin."""
        now = self._clock()
        due = max(self._next.get(connection, 0.0), now - FREE * STEP_SECONDS) + STEP_SECONDS
        if not self._next:
            asyncio.get_running_loop().call_later(KEPT_SECONDS, self.forget)
        self._next[connection] = due
        if due > now + _ROUNDING:
            await asyncio.sleep(due - now)

    def forget(self) -> None:
        """Forget the connections that began no stream of late."""
        now = self._clock()
        self._next = {name: due for name, due in self._next.items() if due > now}
        if self._next:
            asyncio.get_running_loop().call_later(KEPT_SECONDS, self.forget)
