"""The workers: each starts the most urgent order, runs the handler, and settles the attempt."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from orderintake_server.dispatch.retries import RetryPolicy
from orderintake_server.domain import LONGEST_SECONDS, Ending, Event, Failure

if TYPE_CHECKING:
    from orderintake_server.dispatch.attempts import Attempts, StopSignal
    from orderintake_server.dispatch.committer import Committer
    from orderintake_server.dispatch.estimate import ServiceTimes
    from orderintake_server.domain import Lease

Handler = Callable[["Lease", "StopSignal"], Awaitable["bytes | None"]]
"""Makes one attempt: returns its result (an encoded Any) or None, or raises."""

HANDLER_ERROR = "HANDLER_ERROR"
"""The code of a failure that the handler gave no code of its own."""
MESSAGE_CHARACTERS = 1_024
"""A failure's message is cut at this length: the completion log may keep it for ever."""

log = structlog.get_logger()


class Reject(Exception):
    """Raised by a handler: the order has failed, and another attempt would not help."""

    def __init__(self, code: str, message: str) -> None:
        """Fail the order with this `code`, for programs, and this `message`, for people."""
        super().__init__(message)
        self.code = code


class Retry(Exception):
    """Raised by a handler: try again later; this attempt counts."""

    def __init__(self, *, after: float) -> None:
        """Try again in `after` seconds: from 0 to a hundred years."""
        if not 0 <= after <= LONGEST_SECONDS:
            raise ValueError(f"after is {after}; it must be 0 to {LONGEST_SECONDS} seconds")
        super().__init__(f"the handler asked for another attempt after {after} s")
        self.after = after


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPolicy:
    """How orders are attempted."""

    workers: int = 8
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    attempt_seconds: float | None = None
    """How long one attempt may take; None: no limit."""
    interrupt_seconds: float = 2.0
    """How long a handler may clean up at shutdown, after it was cancelled."""


class Workers:
    """A fixed number of workers. An order is claimed only when a worker is free for it."""

    def __init__(
        self,
        policy: WorkPolicy,
        *,
        committer: Committer,
        attempts: Attempts,
        handler: Handler,
        times: ServiceTimes,
    ) -> None:
        """Prepare workers that run `handler`; with 0 workers, orders only wait."""
        self._policy = policy
        self._committer = committer
        self._attempts = attempts
        self._handler = handler
        self._times = times
        self._idle: set[asyncio.Task[None]] = set()
        self._all: set[asyncio.Task[None]] = set()
        self._is_draining = False

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start every worker as a child of `tasks`."""
        for number in range(1, self._policy.workers + 1):
            self._all.add(tasks.create_task(self._work(), name=f"worker-{number}"))

    async def drain(self, seconds: float) -> None:
        """Start no more orders; return when all attempts have ended or were interrupted.

        An attempt that still runs after `seconds` is cancelled, and its order is released.
        """
        self._is_draining = True
        late = self._all - self._idle
        if late:
            _, late = await asyncio.wait(late, timeout=seconds)
        if late:
            log.warning("attempts interrupted at shutdown; they will run again", count=len(late))
        for task in self._idle | late:
            task.cancel()
        if self._all:
            await asyncio.wait(self._all, timeout=self._policy.interrupt_seconds)

    async def _work(self) -> None:
        """Process one order after the other."""
        while not self._is_draining:
            lease = await self._next_order()
            if self._is_draining:
                self._committer.release(lease)
                return
            began = self._times.now()
            ending = await self._attempt(lease)
            self._times.add(began)
            # Not awaited: the next order starts in the same commit, so both need only one flush.
            self._committer.settle(lease, ending)

    async def _next_order(self) -> Lease:
        """Wait for the most urgent order; until it comes, the worker may be stopped at any time."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we run in a task; mypy cannot know
        self._idle.add(task)
        lease = self._committer.next_order()
        try:
            return await lease
        except asyncio.CancelledError:
            if not lease.cancelled():  # the lease came at the same time as the cancellation
                self._committer.release(lease.result())
            raise
        finally:
            self._idle.remove(task)

    async def _attempt(self, lease: Lease) -> Ending:
        """Make one attempt in a task of its own, which can be cancelled without its worker."""
        signal = self._attempts.begin(lease.order)
        outcome = self._outcome(lease, signal)
        work = asyncio.create_task(outcome, name=f"attempt-{lease.order.start_sequence}")
        try:
            async with asyncio.timeout(self._policy.attempt_seconds):
                return await work
        except TimeoutError as error:
            return self._failed(lease, error, self._too_long())
        except asyncio.CancelledError as error:
            if _is_being_stopped():
                self._committer.release(lease)
                raise
            if signal.is_requested:
                return Ending(event=Event.FAIL, failure=_CANCELLED)
            return self._failed(lease, error, _failure(error))  # the handler cancelled itself

    async def _outcome(self, lease: Lease, signal: StopSignal) -> Ending:
        """Run the handler; whatever it raises is a failure of the order, not of the service."""
        try:
            return Ending(result=await self._handler(lease, signal))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
            return self._failed(lease, error, _failure(error))

    def _failed(self, lease: Lease, error: BaseException, failure: Failure) -> Ending:
        """Return how a failed attempt ends: with a retry later, or with the order's failure."""
        delay = self._delay_seconds(lease.tries, error)
        log.warning(
            "attempt failed",
            accept_sequence=lease.order.accept_sequence,
            attempt=lease.order.attempt_count,
            code=failure.code,
            retry_after=delay,
            exc_info=error if failure.code == HANDLER_ERROR else None,
        )
        if delay is None:
            return Ending(event=Event.FAIL, failure=failure)
        return Ending(event=Event.RETRY, failure=failure, retry_after=round(delay * 1e6))

    def _too_long(self) -> Failure:
        return Failure(
            code="ATTEMPT_TIMEOUT",
            message=f"the attempt took longer than {self._policy.attempt_seconds} s",
        )

    def _delay_seconds(self, tries: int, error: BaseException) -> float | None:
        retries = self._policy.retries
        if isinstance(error, Reject):
            return None
        if isinstance(error, Retry):
            return error.after if tries < retries.max_attempts else None
        return retries.delay_seconds(tries, random.random)


_CANCELLED = Failure(code="CANCELLED", message="the order was cancelled")
"""How an attempt ends that stopped when asked to; the store records it as CANCELLED."""


def _is_being_stopped() -> bool:
    """Whether this worker is being stopped; otherwise only its handler was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failure(error: BaseException) -> Failure:
    """Return why an attempt failed, for any exception; its text may not even be valid Unicode."""
    code = error.code if isinstance(error, Reject) else HANDLER_ERROR
    if isinstance(error, Reject):
        text = str(error)
    else:
        text = "".join(traceback.format_exception_only(error)).strip()
    return Failure(code=code, message=text.encode(errors="replace").decode()[:MESSAGE_CHARACTERS])
