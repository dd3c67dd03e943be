"""The calls of workers that wait: how many, which of them a newer one replaces, and their end."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orderintake_server.errors import WorkerLimit

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Iterator

    from orderintake_server.holders import LentLease

MOST_WAITING = 64
"""So many calls of one worker may wait at once."""


class Wait:
    """A call that waits for something: whoever ends it wakes it."""

    def __init__(self) -> None:
        """Begin to wait."""
        self.is_over = False
        """Whether it was ended: it is to be answered with what there is."""
        self.offer: Future[list[LentLease]] | None = None
        """The orders that it waits for; None: none, or a repeat of the call waits for them now."""
        self._was_woken = False
        self._wake: asyncio.Future[None] | None = None

    def end(self) -> None:
        """Have it answered now."""
        self.is_over = True
        self.wake()

    def wake(self) -> None:
        """Let it look whether there is something now."""
        self._was_woken = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def look(self) -> None:
        """Forget that it was woken: it looks now."""
        self._was_woken = self.is_over

    @property
    def woken(self) -> asyncio.Future[None]:
        """What is done when it is woken, or was since it looked last."""
        self._wake = asyncio.get_running_loop().create_future()
        if self._was_woken:
            self._wake.set_result(None)
        return self._wake


class Waits:
    """The calls that wait, by worker and number."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        """Let `most` calls of one worker wait."""
        self._most = most
        self._waits: dict[str, dict[object, Wait]] = {}

    def __len__(self) -> int:
        """Return how many calls wait."""
        return sum(map(len, self._waits.values()))

    @contextmanager
    def waiting(self, worker_id: str, number: int | None = None) -> Iterator[Wait]:
        """Count a call while inside; one with the same number that still waits ends by that.

        None: a call that nobody repeats. Raises WorkerLimit.
        """
        wait = Wait()
        mine = self._waits.setdefault(worker_id, {})
        key: object = wait if number is None else number
        replaced = mine.get(key)
        if replaced is not None:
            wait.offer, replaced.offer = replaced.offer, None
            replaced.end()
        elif len(mine) >= self._most:
            raise WorkerLimit(f"{self._most} calls of this worker wait already")
        mine[key] = wait
        try:
            yield wait
        finally:
            if mine.get(key) is wait:
                del mine[key]
            if not mine and self._waits.get(worker_id) is mine:
                del self._waits[worker_id]

    def wake(self, worker_id: str) -> None:
        """Let the calls of a worker look whether there is something."""
        for wait in self._waits.get(worker_id, {}).values():
            wait.wake()

    def end(self, worker_id: str) -> None:
        """End the calls of a worker."""
        for wait in self._waits.get(worker_id, {}).values():
            wait.end()

    def end_all(self) -> None:
        """End the calls of all workers."""
        for worker_id in self._waits:
            self.end(worker_id)
