"""How late the event loop answers: looked at often, by asking to be woken at a time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orderintake_server.metrics.counts import Histogram

LOOK_SECONDS = 0.25
"""A stall that is shorter may be missed; what is called may not hold the loop up for so long."""


async def watch_stalls(stalls: Histogram) -> None:
    """Count again and again how much later than asked the loop wakes this task; without end."""
    while True:
        asked = time.monotonic() + LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        stalls.add(max(time.monotonic() - asked, 0.0))
