"""A thread for one work after the other, which costs the event loop half of an executor."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable

_T = TypeVar("_T")


class WorkThread:
    """Does one work after the other, all that it was given."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._given: SimpleQueue[tuple[Callable[[], Any], Future[Any], AbstractEventLoop] | None]
        self._given = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], _T]) -> _T:
        """Return what `work` does, or raise what it raises; it is done though nobody waits."""
        loop = asyncio.get_running_loop()
        answer: Future[_T] = loop.create_future()
        self._given.put((work, answer, loop))
        return await answer

    def shutdown(self) -> None:
        """Do what was given, then end; block until then."""
        self._given.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (given := self._given.get()) is not None:
            work, answer, loop = given
            try:
                outcome = work()
            except BaseException as error:  # noqa: BLE001 - the one who asked gets it
                loop.call_soon_threadsafe(_reject, answer, error)
            else:
                loop.call_soon_threadsafe(_resolve, answer, outcome)


def _resolve(answer: Future[_T], outcome: _T) -> None:
    if not answer.done():
        answer.set_result(outcome)


def _reject(answer: Future[Any], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
