"""Threads for handlers that are no coroutines; one that hangs is replaced."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_Call = tuple[
    contextvars.Context, "Callable[[], Any]", asyncio.AbstractEventLoop, "asyncio.Future[Any]"
]


class HandlerThread:
    """A thread that runs one call after the other."""

    def __init__(self, name: str, done: Callable[[HandlerThread], object]) -> None:
        """Start it. `done` is called in the event loop after each call.

        Raises RuntimeError when the system has no thread left.
        """
        self.name = name
        self._done = done
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name).start()

    def run(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run a call that never raises, with the context variables of the caller."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._calls.put((contextvars.copy_context(), call, loop, answer))
        return answer

    def end(self) -> None:
        """End it, after the call that it is at."""
        self._calls.put(None)

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            context, call, loop, answer = asked
            given = context.run(call)
            try:
                loop.call_soon_threadsafe(self._tell, answer, given, context=context)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            del asked, context, call, answer, given  # they may hold an order while we wait

    def _tell(self, answer: asyncio.Future[Any], given: object) -> None:
        self._done(self)
        if not answer.done():
            answer.set_result(given)


class HandlerThreads:
    """The threads there are: idle, at work, or hanging."""

    def __init__(self) -> None:
        """Begin without one; they are started when they are needed."""
        self._idle: list[HandlerThread] = []
        self._all: set[HandlerThread] = set()
        self._numbers = count(1)
        self.hanging: dict[HandlerThread, Callable[[], object]] = {}
        """Threads whose calls were given up, each with what to call when it comes back."""

    def has_room_for(self, calls: int) -> bool:
        """See that so many calls can be under way at once; False when there is no thread left."""
        try:
            while len(self._all) - len(self.hanging) < calls:
                self._start()
        except RuntimeError:
            return False
        return True

    def _start(self) -> None:
        thread = HandlerThread(f"handler-{next(self._numbers)}", self._back)
        self._all.add(thread)
        self._idle.append(thread)

    def take(self) -> HandlerThread:
        """Give an idle thread, for one call."""
        if not self._idle:
            self._start()
        return self._idle.pop()

    def give_up(self, thread: HandlerThread, back: Callable[[], object]) -> None:
        """Wait no longer for a thread's call; `back` is called when it has ended after all."""
        self.hanging[thread] = back

    def _back(self, thread: HandlerThread) -> None:
        if back := self.hanging.pop(thread, None):
            back()
        self._idle.append(thread)

    def close(self) -> None:
        """End every thread; one that is at a call cannot be ended, and goes on until it returns."""
        for thread in self._all:
            thread.end()
