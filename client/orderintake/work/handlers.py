"""Calls a handler for one attempt after the other: whatever comes out is a plain Outcome."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from orderintake.work import finding
from orderintake.work.call import Call
from orderintake.work.contained import Contained
from orderintake.work.figures import HandlerFigures
from orderintake.work.outcome import Kind, Outcome, outcome_of
from orderintake.work.threads import HandlerThreads
from orderintake.work.watch import LoopWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orderintake.work.attempt import OrderAttempt
    from orderintake.work.threads import HandlerThread

NO_THREAD_SECONDS = 1.0
"""So soon it is tried again to start a thread, when the system has none left."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPolicy:
    """How a handler is called."""

    name: str = "handler"
    """As the log calls it."""
    slots: int = 1
    """How many attempts are under way at once."""
    stuck: int = 0
    """How many more may be left behind that do not end; with more, orders wait until one ends."""
    attempt_seconds: float | None = None
    """How long an attempt may take, from the handler's call; None: as long as it likes. It holds
    for those whose caller says nothing else."""
    grace_seconds: float = 5.0
    """How long a cancelled handler may tidy up before its slot goes on without it."""
    tells_text: bool = False
    """Whether the text of an exception that nobody expected is part of the outcome."""


class HandlerCalls:
    """The calls of one handler: a coroutine's in the event loop, all others in threads.

    A block: behind it nothing more is called.
    """

    def __init__(
        self,
        handler: Callable[[OrderAttempt], Any],
        policy: CallPolicy,
        *,
        before: Callable[[OrderAttempt], Awaitable[None]] | None = None,
    ) -> None:
        """Call `handler`; and `before` it another one, whose time does not count."""
        self._handler = handler
        self._policy = policy
        self._before = before
        self._is_async = finding.is_async(handler)
        self._outcome = partial(outcome_of, tells_text=policy.tells_text)
        self._run = self._in_loop if self._is_async else self._in_thread
        self._places = policy.slots + policy.stuck
        """How many more attempts may be under way, or left behind in threads."""
        self._place_left = asyncio.Event()
        self._active = 0
        self._threads = HandlerThreads()
        self._under_way: dict[asyncio.Task[Any], Call] = {}
        self.figures = HandlerFigures()
        self._watch = LoopWatch(policy.name, self._order_of, self.figures)
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop of all calls: to ask each time which it is takes a system call."""

    def __enter__(self) -> Self:
        """Begin to watch the event loop."""
        self._watch.start(asyncio.get_running_loop())
        return self

    def __exit__(self, *_: object) -> None:
        """Let the threads go; one that still runs cannot be ended, and is left behind."""
        self._is_closed = True
        self._watch.stop()
        self._threads.close()

    @property
    def stuck(self) -> int:
        """How many threads hang in the handler and were replaced."""
        return len(self._threads.hanging)

    async def room(self) -> None:
        """Wait until one more attempt can be made: to be awaited before each call."""
        if not self._places:
            _log.error(
                "orders wait: too many handlers do not end",
                extra={"handler": self._policy.name, "stuck": self.figures.stuck_attempts},
            )
        while not self._places:
            self._place_left.clear()
            await self._place_left.wait()
        self._places -= 1
        self._active += 1
        while not (self._is_async or self._threads.has_room_for(self._active)):
            _log.error("orders wait: the system has no thread left")
            await asyncio.sleep(NO_THREAD_SECONDS)

    async def __call__(self, order: OrderAttempt, seconds: float | None = None) -> Outcome:
        """Make one attempt; whatever the handler does, give its outcome.

        It may take so many `seconds`; None: as many as the policy says.

        When the caller is cancelled, so is the handler: raises CancelledError if it ends by that. A
        caller that is cancelled once more waits no longer: the handler is left behind.
        """
        if self._is_closed:
            raise RuntimeError("the handler cannot be called after shutdown")
        loop = self._loop = self._loop or asyncio.get_running_loop()
        seconds = self._policy.attempt_seconds if seconds is None else seconds
        call = Call(order, loop.create_future(), seconds)
        work = loop.create_task(self._work(call), name=f"attempt {order.order_id}")
        call.task, self._under_way[work] = work, call
        work.add_done_callback(self._over)
        try:
            await (call.over if seconds is None else self._limit(work, call, seconds))
        except asyncio.CancelledError:
            if not await self._ends_when_cancelled(work):
                raise
            return _result(work)
        return self._late(work, call) if call.is_late else _heeded(_result(work), order)

    def _order_of(self, task: asyncio.Task[Any]) -> OrderAttempt | None:
        call = self._under_way.get(task)
        return call.order if call else None

    def _over(self, work: asyncio.Task[Any]) -> None:
        """Make room for another attempt, unless a thread is still at this one."""
        self._active -= 1
        call = self._under_way.pop(work)
        if not call.is_hanging:
            self._give_back()
        if not call.over.done():
            call.over.set_result(None)

    def _give_back(self) -> None:
        self._places += 1
        if self._places == 1:
            self._place_left.set()

    async def _limit(self, work: asyncio.Task[Any], call: Call, seconds: float) -> None:
        """Wait until an attempt ends; when its time is over, cancel it."""
        while not work.done() and (left := call.seconds_left(seconds)):
            await asyncio.wait({work}, timeout=left)
        if not work.done():
            call.is_late = True
            work.cancel()
            await asyncio.wait({work}, timeout=self._policy.grace_seconds)

    async def _ends_when_cancelled(self, work: asyncio.Task[Outcome]) -> bool:
        """Cancel an attempt; False when it ended by that, or not until we were cancelled again."""
        work.cancel()
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            self._leave(work, "it is left behind at the stop")
            return False
        return not _result(work).is_stopped

    def _late(self, work: asyncio.Task[Outcome], call: Call) -> Outcome:
        """Give the outcome of an attempt whose time is over: what it came to, if that is good."""
        if not work.done():
            self._leave(work, "its slot goes on without it")
        elif (outcome := _result(work)).kind is Kind.SUCCEEDED:
            return outcome
        message = f"the attempt took longer than {call.seconds} s"
        return Outcome(kind=Kind.FAILED, code="ATTEMPT_TIMEOUT", message=message)

    def _leave(self, work: asyncio.Task[Outcome], what: str) -> None:
        """Leave a coroutine to itself; it counts as stuck until it ends."""
        self.figures.stuck_attempts += 1
        work.add_done_callback(lambda _: self._unstuck())
        about = {"handler": self._policy.name, "stuck": self.figures.stuck_attempts}
        _log.error(f"a handler does not heed its cancellation; {what}", extra=about)

    def _unstuck(self) -> None:
        self.figures.stuck_attempts -= 1

    async def _work(self, call: Call) -> Outcome:
        """Run the handler; whatever it raises is the order's failure, not ours."""
        value: object = None
        with Contained() as calling:
            if self._is_async:
                call.stop_by_signal()
            if self._before is not None:
                await self._before(call.order)
            value = await self._run(call)
        return call.outcome or self._outcome(value, calling.error)

    async def _in_loop(self, call: Call) -> object:
        value = await self._handler(call.begin())
        return await value if value is not None and inspect.isawaitable(value) else value

    async def _in_thread(self, call: Call) -> object:
        """Call a handler in a thread; what it gives to be awaited is awaited here."""
        call.thread = self._threads.take()
        try:
            value = await call.thread.run(partial(self._called, call))
        except asyncio.CancelledError:
            self._give_up(call, call.thread)
            raise
        if value is None:
            return None
        call.stop_by_signal()
        return await value

    def _called(self, call: Call) -> Awaitable[object] | None:
        """Call the handler, in a thread; give what is to be awaited, or note the outcome."""
        value = None
        with Contained() as calling:
            value = self._handler(call.begin())
            if inspect.isawaitable(value):
                return value
        call.outcome = self._outcome(value, calling.error)
        return None

    def _give_up(self, call: Call, thread: HandlerThread) -> None:
        """Leave a thread to its call; it counts as stuck until it comes back."""
        call.is_hanging = True

        def back() -> None:
            self._unstuck()
            self._give_back()
            _log.warning("a handler's thread came back", extra=about | {"seconds": call.age()})

        self._threads.give_up(thread, back)
        about: dict[str, object] = {"handler": self._policy.name, "handler_thread": thread.name}
        self.figures.stuck_attempts += 1
        stuck = {"stuck": self.figures.stuck_attempts, "limit": self._policy.stuck}
        _log.error("a handler's thread does not end; another takes its place", extra=about | stuck)


def _result(work: asyncio.Task[Outcome]) -> Outcome:
    """Give the outcome of an attempt that has ended, also of one that never began."""
    if not work.cancelled():
        return work.result()
    return outcome_of(None, asyncio.CancelledError(), tells_text=False)


def _heeded(outcome: Outcome, order: OrderAttempt) -> Outcome:
    """Tell a handler that heeded the request to stop from one that cancelled itself."""
    if not (outcome.is_stopped and order.cancel_requested):
        return outcome
    return Outcome(kind=Kind.REJECTED, code="CANCELLED", message="the order was cancelled")
