"""The workers: each starts the most urgent order, runs the handler, and settles the attempt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from orderintake_server.dispatch.retries import RetryPolicy, ending_of
from orderintake_server.domain import Event
from orderintake_server.logger import get_logger
from orderintake_server.metrics import Attempts as Meters

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from orderintake.work.outcome import Outcome
    from orderintake_server.dispatch.attempts import Attempts, StopSignal
    from orderintake_server.dispatch.committer import Committer
    from orderintake_server.dispatch.estimate import ServiceTimes
    from orderintake_server.domain import Ending, Lease

log = get_logger()


class Handler(Protocol):
    """What processes the attempts."""

    async def room(self) -> None:
        """Wait until one more attempt can be made."""

    def __call__(self, lease: Lease, signal: StopSignal) -> Awaitable[Outcome]:
        """Make one attempt; give its outcome, whatever it is.

        Raises CancelledError when the caller was cancelled and the attempt ended by that, and at
        once when the caller is cancelled for the second time.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPolicy:
    """How orders are attempted."""

    workers: int = 8
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    interrupt_seconds: float = 2.0
    """How long a handler that was cancelled at the stop may tidy up; then it is left behind."""


class Workers:
    """A fixed number of workers. An order is claimed only when a worker is free for it."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        policy: WorkPolicy,
        *,
        committer: Committer,
        attempts: Attempts,
        handler: Handler,
        times: ServiceTimes,
        meters: Meters | None = None,
    ) -> None:
        """Prepare workers that run `handler`; with 0 workers, orders only wait."""
        self._policy = policy
        self._committer = committer
        self._attempts = attempts
        self._handler = handler
        self._times = times
        self._meters = meters or Meters()
        self._idle: set[asyncio.Task[None]] = set()
        self._all: set[asyncio.Task[None]] = set()
        self._is_draining = False
        self.busy = 0
        """How many of them process an order."""

    def has_free(self) -> bool:
        """Tell whether one of them has no order to process."""
        return self.busy < self._policy.workers

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start every worker as a child of `tasks`."""
        for number in range(1, self._policy.workers + 1):
            self._all.add(tasks.create_task(self._work(), name=f"worker-{number}"))

    async def drain(self, seconds: float) -> None:
        """Start no more orders; return when every worker has ended.

        An attempt that still runs after `seconds` is cancelled, and its order is released. So it is
        when the handler goes on in spite of that: it is left behind.
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
            _, stubborn = await asyncio.wait(self._all, timeout=self._policy.interrupt_seconds)
            await _end(stubborn)

    async def _work(self) -> None:
        """Process one order after the other."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we run in a task; mypy cannot know
        while not self._is_draining:
            lease = await self._next_order(task)
            if self._is_draining:
                self._committer.release(lease)
                return
            ending = await self._attempt(lease)
            # Not awaited: the next order starts in the same commit, so both need only one flush.
            self._committer.settle(lease, ending)

    async def _next_order(self, task: asyncio.Task[None]) -> Lease:
        """Wait for the most urgent order; until it comes, the worker may be stopped at any time."""
        self._idle.add(task)
        order: asyncio.Future[Lease] | None = None
        try:
            await self._handler.room()
            order = self._committer.next_order()
            return await order
        except asyncio.CancelledError:
            if (
                order is not None and not order.cancelled()
            ):  # it was given an order at this very moment
                self._committer.release(order.result())
            raise
        finally:
            self._idle.remove(task)

    async def _attempt(self, lease: Lease) -> Ending:
        """Make one attempt; an order whose worker is being stopped waits again."""
        began, tier = self._times.now(), lease.order.tier
        self.busy += 1
        try:
            outcome = await self._handler(lease, self._attempts.begin(lease.order))
        except asyncio.CancelledError:
            self._committer.release(lease)
            self._meters.end(tier, "released")
            raise
        finally:
            self.busy -= 1
        self._meters.seconds[tier].add(self._times.add(began))
        ending = ending_of(outcome, lease.tries, self._policy.retries)
        if ending.failure is None:
            self._meters.end(tier, "succeeded")
        else:
            self._tell_failure(lease, outcome, ending)
        return ending

    def _tell_failure(self, lease: Lease, outcome: Outcome, ending: Ending) -> None:
        """Tell the log of an attempt that failed, and count it."""
        is_last = ending.event is Event.FAIL
        reported = {"incident_id": outcome.incident_id, "exception": outcome.report}
        log.warning(
            "attempt failed",
            accept_sequence=lease.order.accept_sequence,
            customer_id=lease.order.customer_id,
            attempt=lease.order.attempt_count,
            code=outcome.code,
            retry_after=None if is_last else ending.retry_after / 1e6,
            **(reported if outcome.report else {}),
        )
        self._meters.fail(lease.order.tier, outcome.code, is_last=is_last)


async def _end(workers: set[asyncio.Task[None]]) -> None:
    """Let workers leave the handlers behind that they wait for, though these were cancelled."""
    for task in workers:
        task.cancel()
    if workers:
        await asyncio.wait(workers)
