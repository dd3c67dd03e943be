"""One attempt under way: when its handler was called, and how long it may take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orderintake.work.attempt import begin

if TYPE_CHECKING:
    import asyncio

    from orderintake.work.attempt import OrderAttempt
    from orderintake.work.outcome import Outcome
    from orderintake.work.threads import HandlerThread

BEGIN_SECONDS = 0.05
"""So soon it is looked again whether a handler has been called, when its time is very short."""


class Call:
    """An order with its handler, from before the handler is called until nobody waits for it."""

    __slots__ = (
        *("began", "is_hanging", "is_late", "order", "outcome", "over", "seconds", "task"),
        "thread",
    )

    def __init__(
        self, order: OrderAttempt, over: asyncio.Future[None], seconds: float | None
    ) -> None:
        """Begin before the handler is called, for `seconds`; None: as long as it likes."""
        self.order = order
        self.over = over
        """Has a result when the attempt has ended."""
        self.seconds = seconds
        self.task: asyncio.Task[Outcome] | None = None
        self.began: float | None = None
        """When the handler was called, by `time.monotonic()`; None: not yet."""
        self.thread: HandlerThread | None = None
        self.outcome: Outcome | None = None
        self.is_hanging = False
        """Whether a thread is still at it, for which nobody waits any more."""
        self.is_late = False

    def begin(self) -> OrderAttempt:
        """Note that the handler is called now; give it the order, and how long it may take."""
        self.began = time.monotonic()
        if self.seconds is not None:
            begin(self.order, self.seconds)
        return self.order

    def seconds_left(self, seconds: float) -> float:
        """Tell how much of its time is left; the time of one that has not begun never ends."""
        return max(seconds - self.age(), 0 if self.began else BEGIN_SECONDS)

    def age(self) -> float:
        """Tell for how many seconds the handler has been at work."""
        return 0.0 if self.began is None else time.monotonic() - self.began

    def stop_by_signal(self) -> None:
        """Let the stop signal cancel the handler; a request that came before does so at once."""
        if self.task is not None:
            self.order.signal.on_request = self.task.cancel
            if self.order.signal.is_requested:
                self.task.cancel()
