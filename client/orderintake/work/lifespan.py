"""What a shop opens once for all its orders, and closes when the last one has ended."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from orderintake.work.contained import Contained
from orderintake.work.finding import HandlerUnusable, why

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

END_SECONDS = 5.0
"""A lifespan that takes longer to end is cancelled."""
HEED_SECONDS = 1.0
"""One that takes longer to heed that is left behind."""
ENDED_BADLY = "the lifespan did not end well"

_log = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(make: Callable[[], Any] | None, name: str) -> AsyncIterator[Any]:
    """Enter the context manager that `make` gives, async or sync; give its value.

    It is entered and left in one task of its own. Raises HandlerUnusable when it cannot begin. How
    it ends is told in the log and nowhere else.
    """
    if make is None:
        yield None
        return
    life = _Life(make)
    task = asyncio.create_task(life.live(), name="lifespan")
    try:
        yield await life.begins(name, task)
    finally:
        life.over.set()
        await _ends(task)


class _Life:
    """A context manager of the shop's, from its beginning to its end."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.over = asyncio.Event()
        self._make = make
        self._begun: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def live(self) -> None:
        """Enter it, and leave it when it is over; raise nothing, whatever it raises."""
        value: Any = None
        with Contained() as beginning:
            manager = self._make()
            value = await _enter(manager)
        if not self._begun.done():
            self._begun.set_result((value, beginning.error))
        if beginning.error is not None:
            return
        while not self.over.is_set():  # a group of tasks in it may cancel the task that entered it
            with Contained():
                await self.over.wait()
        with Contained() as ending:
            await _leave(manager)
        if ending.error is not None:
            _log.error(ENDED_BADLY, extra={"reason": why(ending.error)})

    async def begins(self, name: str, task: asyncio.Task[None]) -> Any:  # noqa: ANN401 - as it gives
        """Wait until it has begun in its task; give its value.

        A caller that is cancelled cancels it. Raises HandlerUnusable when it cannot begin.
        """
        try:
            value, error = await self._begun
        except asyncio.CancelledError:
            task.cancel()
            raise
        if isinstance(error, HandlerUnusable):  # the one of a lifespan around the shop's own
            raise error
        if error is not None:
            raise HandlerUnusable(f"the lifespan of {name!r} cannot begin: {why(error)}")
        return value


async def _ends(task: asyncio.Task[None]) -> None:
    """Wait for its end; then cancel it, and wait no longer than it takes to heed that."""
    await asyncio.wait({task}, timeout=END_SECONDS)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=HEED_SECONDS)
    if not task.done():
        _log.error(ENDED_BADLY, extra={"reason": "it does not heed its cancellation"})


async def _enter(manager: Any) -> Any:  # noqa: ANN401 - whatever a shop writes
    """Enter a context manager, a sync one in a thread."""
    if hasattr(manager, "__aenter__"):
        return await manager.__aenter__()
    return await asyncio.to_thread(manager.__enter__)


async def _leave(manager: Any) -> None:  # noqa: ANN401 - as above
    if hasattr(manager, "__aexit__"):
        await manager.__aexit__(None, None, None)
    else:
        await asyncio.to_thread(manager.__exit__, None, None, None)
