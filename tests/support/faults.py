"""Faults that befall what a chaos run runs: one begins after the other, and many at once."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import structlog

log = structlog.get_logger()

PAUSE_SECONDS = 0.4, 2.2
"""The least and the most between the beginnings of two faults."""


class Faults:
    """Which faults there were, and what befell whom."""

    def __init__(
        self,
        seed: int,
        shares: Mapping[str, int],
        pause_seconds: tuple[float, float] = PAUSE_SECONDS,
    ) -> None:
        """Draw them by their shares; what comes depends on the seed."""
        self.chance = random.Random(f"{seed} faults")
        self.counts: Counter[str] = Counter()
        self.story: list[str] = []
        self._shares = shares
        self._pause_seconds = pause_seconds
        self._next: list[str] = []
        self._began = time.monotonic()

    async def befall(self, seconds: float, begin: Callable[[str, asyncio.TaskGroup], None]) -> None:
        """Let one fault after the other begin for so long; all are over on return."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        async with asyncio.TaskGroup() as tasks:
            while loop.time() < end:
                await asyncio.sleep(self.chance.uniform(*self._pause_seconds))
                begin(self._draw(), tasks)

    def _draw(self) -> str:
        """Draw from all that are left of a round."""
        if not self._next:
            self._next = list(Counter(self._shares).elements())
            self.chance.shuffle(self._next)
        return self._next.pop()

    def begin(
        self, fault: str, victim: str, does: Callable[[], Awaitable[None]], tasks: asyncio.TaskGroup
    ) -> None:
        """Let a fault begin."""
        self.counts[fault] += 1

        async def befall() -> None:
            self._tell(f"{fault} {victim}")
            await does()
            self._tell(f"{fault} {victim} is over")

        tasks.create_task(befall(), name=f"{fault} {victim}")

    def _tell(self, what: str) -> None:
        self.story.append(f"{time.monotonic() - self._began:7.2f} {what}")
        log.info("fault", what=what)
