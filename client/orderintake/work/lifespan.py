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
"""A lifespan that takes longer to end is left behind."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(make: Callable[[], Any] | None, name: str) -> AsyncIterator[Any]:
    """Enter the context manager that `make` gives, async or sync; give its value.

    Raises HandlerUnusable when it cannot begin. How it ends is told in the log and nowhere else.
    """
    if make is None:
        yield None
        return
    value: Any = None
    with Contained() as beginning:
        manager = make()
        value = await _enter(manager)
    if beginning.error is not None:
        _pass_on(beginning.error)
        raise HandlerUnusable(f"the lifespan of {name!r} cannot begin: {why(beginning.error)}")
    try:
        yield value
    finally:
        with Contained() as ending:
            async with asyncio.timeout(END_SECONDS):
                await _leave(manager)
        if ending.error is not None:
            _pass_on(ending.error)
            _log.error("the lifespan did not end well", extra={"reason": why(ending.error)})


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


def _pass_on(error: BaseException) -> None:
    """Raise the cancellation of our own task, which is not the shop's."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
