"""The event loop of the service: code of handlers runs in it too, and must not end or own it."""

from __future__ import annotations

import asyncio
from asyncio import tasks
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from weakref import ref

from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Coroutine

LEFT_SECONDS = 0.5
"""How long tasks that are left at the end may take to end."""

LOOKED_AT = 1_000
"""So many tasks are made before it is looked which of them have ended: a WeakSet would do so for
each, which takes a microsecond."""

log = get_logger()


def _base() -> type[asyncio.AbstractEventLoop]:
    """Choose uvloop where it is installed: 15 to 80 % more unary calls."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.SelectorEventLoop
    return uvloop.Loop


class ServiceLoop(_base()):  # type: ignore[misc] # chosen when it is imported
    """A loop that tells nobody of its tasks, and makes them itself.

    `asyncio.all_tasks()` is empty in it: a handler that cancels all tasks there are would cancel
    those of other orders and of the service. What a handler starts, it cancels by its own names.
    """

    def __init__(self) -> None:
        """Begin without tasks."""
        super().__init__()
        self._made: list[ref[asyncio.Task[Any]]] = []
        self._looks_at = LOOKED_AT

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:  # noqa: ANN401 - as asyncio's
        """Make a task that `asyncio.all_tasks()` does not tell of."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, **options)
        tasks._unregister_task(task)  # noqa: SLF001 - documented, for those who extend asyncio
        self._made.append(ref(task))
        if len(self._made) >= self._looks_at:
            self.unfinished()
        return task

    def unfinished(self) -> set[asyncio.Task[Any]]:
        """Return the tasks that have not ended; forget the others."""
        found = {task for made in self._made if (task := made()) and not task.done()}
        self._made = [ref(task) for task in found]
        self._looks_at = LOOKED_AT + 2 * len(found)
        return found

    def set_task_factory(self, factory: object) -> None:  # noqa: ARG002 - whichever it is
        """Refuse it: the factory would make the service's tasks too. Raises RuntimeError."""
        raise RuntimeError("the event loop is the service's: it makes the tasks by itself")


class Futures:
    """Makes futures of one loop: to ask each time which it is takes a system call."""

    def __init__(self) -> None:
        """Make them of the loop that runs when the first one is made."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def new(self) -> asyncio.Future[Any]:
        """Make one."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.create_future()


def run_to_end(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end, whatever tasks and callbacks do that a handler leaves behind.

    KeyboardInterrupt and SystemExit leave an event loop at once, wherever in it they are raised,
    and anybody can stop one; then it goes on. Tasks that are left at the end get a moment to end.
    """
    loop = ServiceLoop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop.set_default_executor(executor)
    task = loop.create_task(main, name="main")
    _run_until_done(loop, task)
    left = loop.unfinished()
    for one in left:
        one.cancel()
    if left:
        _run_until_done(loop, loop.create_task(_wait_for(left)))
    executor.shutdown(wait=False, cancel_futures=True)
    task.result()


def _run_until_done(loop: ServiceLoop, task: asyncio.Task[None]) -> None:
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit) as error:
            log.exception("what a handler left behind cannot end the process", exc_info=error)


async def _wait_for(left: set[asyncio.Task[Any]]) -> None:
    await asyncio.wait(left, timeout=LEFT_SECONDS)
