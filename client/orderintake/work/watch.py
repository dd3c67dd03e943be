"""Tells which handler blocks the event loop, and for how long."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake.work.attempt import OrderAttempt
    from orderintake.work.figures import HandlerFigures

LOOK_SECONDS = 0.25
BLOCKED_SECONDS = 1.0
"""A loop that does not answer for so long is blocked; told again after twice as long."""

_log = logging.getLogger(__name__)


class LoopWatch:
    """A thread that asks the event loop again and again to answer."""

    def __init__(
        self,
        handler: str,
        order_of: Callable[[asyncio.Task[Any]], OrderAttempt | None],
        figures: HandlerFigures,
    ) -> None:
        """Watch for what `handler` does; `order_of` tells the order that a task processes.

        Each time that the loop stands for a second or longer is counted in `figures`.
        """
        self._handler = handler
        self._order_of = order_of
        self._figures = figures
        self._over = threading.Event()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch the loop that runs in the thread of the caller."""
        watching = (loop, threading.get_ident())
        threading.Thread(target=self._watch, args=watching, name="loop-watch", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._over.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._over.wait(LOOK_SECONDS):
            answers: list[bool] = []
            try:
                loop.call_soon_threadsafe(answers.append, True)  # noqa: FBT003 - any answer will do
            except RuntimeError:  # the loop is closed
                return
            self._await(answers, loop, thread)

    def _await(self, answers: list[bool], loop: asyncio.AbstractEventLoop, thread: int) -> None:
        """Wait for an answer; tell what the loop is at while there is none."""
        began, next_time = time.monotonic(), BLOCKED_SECONDS
        while not (answers or self._over.wait(LOOK_SECONDS)):
            seconds = time.monotonic() - began
            if seconds >= next_time:
                self._figures.loop_stalls += next_time == BLOCKED_SECONDS
                next_time *= 2
                about = self._about(loop, thread)
                _log.error(BLOCKED, extra={"seconds": round(seconds, 1), **about})
        if next_time > BLOCKED_SECONDS:
            seconds = time.monotonic() - began
            _log.warning("the event loop goes on", extra={"seconds": round(seconds, 1)})

    def _about(self, loop: asyncio.AbstractEventLoop, thread: int) -> dict[str, object]:
        """Name what the loop is at: its handler and order, or its task; and the line of code."""
        task = asyncio.current_task(loop)
        order = self._order_of(task) if task else None
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - there is no other way
        line = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "unknown"
        if order is None:
            return {"task": task.get_name() if task else "none", "line": line}
        return {
            "handler": self._handler,
            "order_id": order.order_id,
            "customer_id": order.customer_id,
            "attempt": order.attempt,
            "line": line,
        }


BLOCKED = "the event loop is blocked; an async handler must not wait but by await"
