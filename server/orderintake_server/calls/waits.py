"""How long each of many waits may take, with one timer for all of them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class WaitLimit:
    """Lets each wait take `seconds`; a task has one wait at a time.

    A timer of each wait's own, as `asyncio.timeout` sets one, takes 4 us of every call, and hardly
    ever is one needed. All waits here may take the same time, so the oldest is over first: one
    timer, set to when that is, will do.
    """

    def __init__(self, seconds: float, late: Callable[[float], Exception] = TimeoutError) -> None:
        """Begin without a wait; `late` makes what is raised of a wait that takes longer."""
        self.seconds = seconds
        self._late = late
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop of the waits: to ask again which it is takes a system call."""
        self._due: dict[asyncio.Task[Any], float] = {}
        """When the wait of each task is over, by `time.monotonic()`; the oldest first."""
        self._over: set[asyncio.Task[Any]] = set()
        self._is_set = False

    async def wait(self, awaitable: Awaitable[Any]) -> Any:  # noqa: ANN401 - what it gives
        """Await something. Raises what is `late`, after cancelling it, when it takes longer."""
        if not self._is_set:
            self._set(self.seconds)
        task: Any = asyncio.current_task(self._loop)
        cancelled_before = task.cancelling()
        self._due[task] = time.monotonic() + self.seconds
        try:
            return await awaitable
        except asyncio.CancelledError:
            if task in self._over and task.cancelling() - 1 <= cancelled_before:
                raise self._late(self.seconds) from None
            raise
        finally:
            del self._due[task]
            if task in self._over:
                self._over.remove(task)
                task.uncancel()

    def _set(self, seconds: float) -> None:
        self._is_set = True
        self._loop = asyncio.get_running_loop()
        self._loop.call_later(seconds, self._look)

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
