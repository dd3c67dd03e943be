"""The workers: each takes the most urgent order, runs the handler, and records what came of it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from orderintake_server.domain import Ending, Failure

if TYPE_CHECKING:
    from orderintake_server.dispatch.ledger import Ledger
    from orderintake_server.dispatch.ready import ReadyQueue
    from orderintake_server.store.base import Lease

Handler = Callable[["Lease"], Awaitable["bytes | None"]]
"""Processes one attempt: returns its result (an encoded Any) or none, or raises."""

MESSAGE_CHARACTERS = 1_024
"""A failure's message is cut here: the log keeps it for ever."""

INTERRUPT_SECONDS = 2.0
"""How long a cancelled handler may tidy up."""

log = structlog.get_logger()


class HandlerFault(Exception):
    """The handler broke its own contract; `code` says how."""

    def __init__(self, code: str, text: str) -> None:
        """Fail the attempt with this code and text."""
        super().__init__(text)
        self.code = code


class Workers:
    """A fixed number of workers. An order is taken only when a worker is free for it."""

    def __init__(self, *, count: int, ready: ReadyQueue, ledger: Ledger, handler: Handler) -> None:
        """Prepare `count` workers that run `handler`; none means that orders only wait."""
        self._count = count
        self._ready = ready
        self._ledger = ledger
        self._handler = handler
        self._idle: set[asyncio.Task[None]] = set()
        self._all: set[asyncio.Task[None]] = set()
        self._is_draining = False

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start every worker as a child of `tasks`."""
        for number in range(1, self._count + 1):
            self._all.add(tasks.create_task(self._work(), name=f"worker-{number}"))

    async def drain(self, seconds: float) -> None:
        """Take no further order; return when all in process ended, or were interrupted.

        An attempt that still runs after `seconds` is cancelled and its order given back.
        """
        self._is_draining = True
        late = self._all - self._idle
        if late:
            _, late = await asyncio.wait(late, timeout=seconds)
        if late:
            log.warning("attempts interrupted; they will be made again", count=len(late))
        for task in self._idle | late:
            task.cancel()
        if self._all:
            await asyncio.wait(self._all, timeout=INTERRUPT_SECONDS)

    async def _work(self) -> None:
        """Take and process one order after the other."""
        while not self._is_draining:
            lease = await self._take()
            if lease is None:
                continue
            if self._is_draining:
                self._ledger.give_back(lease)
                return
            # Not awaited: the next claim stands behind it, so both cost one flush together.
            self._ledger.settle(lease, await self._attempt(lease))

    async def _take(self) -> Lease | None:
        """Wait for the most urgent order and start it; None if it was gone."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we run in a task; mypy cannot know
        self._idle.add(task)
        try:
            waiting = await self._ready.pop()
        finally:
            self._idle.remove(task)
        return await self._ledger.claim(waiting)

    async def _attempt(self, lease: Lease) -> Ending:
        """Run the handler; whatever it raises is the order's failure, not ours."""
        try:
            return Ending(result=await self._handler(lease))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self._ledger.give_back(lease)
                raise
            return _failed(lease, error)  # the handler awaited something that was cancelled
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
            return _failed(lease, error)


def _failed(lease: Lease, error: BaseException) -> Ending:
    """Tell the failure that an exception means."""
    code = error.code if isinstance(error, HandlerFault) else "HANDLER_ERROR"
    log.warning(
        "handler failed",
        accept_sequence=lease.order.accept_sequence,
        attempt=lease.order.attempt_count,
        code=code,
        exc_info=None if isinstance(error, HandlerFault) else error,
    )
    return Ending(failure=Failure(code=code, message=_message(error)))


def _message(error: BaseException) -> str:
    """Tell what happened, whatever the exception is: it may have no text, or one beyond Unicode."""
    if isinstance(error, HandlerFault):
        text = str(error)
    else:
        text = "".join(traceback.format_exception_only(error)).strip()
    return text.encode(errors="replace").decode()[:MESSAGE_CHARACTERS]
