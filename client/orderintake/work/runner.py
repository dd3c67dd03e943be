"""The slots of a worker: each takes the next order, runs its handler, and says what came of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orderintake.work.current import CURRENT
from orderintake.work.outcome import Kind, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake.work.attempt import OrderAttempt
    from orderintake.work.handlers import HandlerCalls
    from orderintake.work.outcome import Outcome

INTERRUPT_SECONDS = 2.0
"""How long a handler that was cancelled at the stop may tidy up; then it is left behind."""
HURRY_SECONDS = 0.3
"""The same, when the worker was told to hurry."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Leased:
    """An order that a slot was given, and the right to say what came of it."""

    lease: str
    order: OrderAttempt
    seconds: float | None = None
    """How long the attempt may take, from the handler's call; None: any time."""


class Exchange(Protocol):
    """Where orders come from, and who is told what came of them."""

    async def next(self) -> Leased:
        """Wait for an order for one free slot; it has to start at once.

        When the caller is cancelled, an order that comes at that moment is given back.
        """

    def end(self, leased: Leased, outcome: Outcome) -> None:
        """Tell what came of an attempt."""

    def give_back(self, leased: Leased) -> None:
        """Tell that an attempt was not made, or not to its end: the order waits again."""


class Runner:
    """A fixed number of slots; each asks for an order when it can start it, and not before."""

    def __init__(
        self,
        exchange: Exchange,
        calls: HandlerCalls,
        slots: int,
        on_stuck: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare `slots` of them; `on_stuck` is called when half of them hang in the handler."""
        self._exchange, self._calls, self._slots = exchange, calls, slots
        self._on_stuck = on_stuck
        self._idle: set[asyncio.Task[None]] = set()
        self._all: set[asyncio.Task[None]] = set()
        self._is_draining = self._is_interrupting = False

    def start(self) -> None:
        """Start every slot."""
        for number in range(1, self._slots + 1):
            self._all.add(asyncio.create_task(self._work(), name=f"slot-{number}"))

    async def drain(self, seconds: float) -> None:
        """Ask for no more orders; return when every slot has ended.

        An attempt that still runs after `seconds` is cancelled, and its order is given back. So it
        is when the handler goes on in spite of that: it is left behind.
        """
        self._is_draining = True
        for task in self._idle:
            task.cancel()
        if late := await _wait(self._all, seconds):
            _log.warning(
                "attempts are interrupted; they will run again", extra={"count": len(late)}
            )
        self._is_interrupting = True
        _cancel(late)
        stubborn = await _wait(late, INTERRUPT_SECONDS)
        _cancel(stubborn)
        await _wait(stubborn, None)
        for task in self._all:
            _tell_error(task)

    def hurry(self) -> None:
        """Cancel every attempt, so that a drain ends within half a second."""
        self._is_draining = self._is_interrupting = True
        _cancel(self._all)
        asyncio.get_running_loop().call_later(HURRY_SECONDS, _cancel, self._all)

    async def _work(self) -> None:
        """Process one order after the other."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we run in a task; mypy cannot know
        while not self._is_draining:
            self._idle.add(task)
            try:
                await self._calls.room()
                leased = await self._exchange.next()
            finally:
                self._idle.remove(task)
            if self._is_draining:
                self._exchange.give_back(leased)
                return
            await self._attempt(leased)

    async def _attempt(self, leased: Leased) -> None:
        """Make one attempt, and tell what came of it; one that we cancel is given back.

        One that code of a handler cancels counts: else its order could end any number of workers.
        """
        CURRENT.set(leased.order)
        try:
            outcome = await self._calls(leased.order, leased.seconds)
        except asyncio.CancelledError as error:
            if self._is_interrupting:
                self._exchange.give_back(leased)
            else:
                self._exchange.end(leased, outcome_of(None, error, tells_text=False))
            raise
        self._exchange.end(leased, outcome)
        if outcome.kind is not Kind.SUCCEEDED:
            _tell(outcome)
        CURRENT.set(None)
        if 2 * self._calls.figures.stuck_attempts >= self._slots:
            self._on_stuck()


def _tell(outcome: Outcome) -> None:
    """Log a failure; what was raised is told here, for the server is not told it."""
    about = {"code": outcome.code, "reason": outcome.message}
    if outcome.report:
        about |= {"incident_id": outcome.incident_id, "exception": outcome.report}
    _log.warning("attempt failed", extra=about)


def _tell_error(task: asyncio.Task[None]) -> None:
    """Log a fault of ours that ended a slot."""
    if not task.cancelled() and (error := task.exception()):
        _log.error("a slot ended by an error", exc_info=error)


def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def _wait(tasks: set[asyncio.Task[None]], seconds: float | None) -> set[asyncio.Task[None]]:
    """Wait for tasks, `seconds` at the most; give those that have not ended."""
    return (await asyncio.wait(tasks, timeout=seconds))[1] if tasks else set()
