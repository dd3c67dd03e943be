"""How long each of many waits may take, with one timer for all of them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class WaitLimit:
    """Lets each wait take `seconds`; a task has one wait at a time.

    A timer of each wait's own, as `asyncio.timeout` sets one, takes 4 us of every call, and hardly
    ever is one needed. All waits here may take the same time, so the oldest is over first: one
    timer, set to when that is, will do.
    """

    def __init__(self, seconds: float) -> None:
        """Begin without a wait."""
        self.seconds = seconds
        self._due: dict[asyncio.Task[Any], float] = {}
        """When the wait of each task is over, by `time.monotonic()`; the oldest first."""
        self._over: set[asyncio.Task[Any]] = set()
        self._is_set = False

    async def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - what it gives
        """Await a coroutine. Raises TimeoutError, after cancelling it, when it takes longer."""
        task: Any = asyncio.current_task()
        cancelled_before = task.cancelling()
        self._due[task] = time.monotonic() + self.seconds
        if not self._is_set:
            self._set(self.seconds)
        try:
            return await coroutine
        except asyncio.CancelledError:
            if task in self._over and task.cancelling() - 1 <= cancelled_before:
                raise TimeoutError from None
            raise
        finally:
            del self._due[task]
            if task in self._over:
                self._over.remove(task)
                task.uncancel()

    def _set(self, seconds: float) -> None:
        self._is_set = True
        asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Cancel the waits that are over; set the timer for the next."""
        self._is_set = False
        now = time.monotonic()
        for task, due in self._due.items():
            if due > now:
                self._set(due - now)
                return
            if task not in self._over:
                self._over.add(task)
                task.cancel()
