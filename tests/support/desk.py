"""A committer at work over a store, with the parts around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orderintake.work.figures import HandlerFigures
from orderintake_server.dispatch.admission import Admission, Limits
from orderintake_server.dispatch.attempts import Attempts
from orderintake_server.dispatch.committer import Committer
from orderintake_server.dispatch.customer_rate import CustomerRate
from orderintake_server.dispatch.estimate import ServiceTimes
from orderintake_server.dispatch.free_workers import FreeWorkers
from orderintake_server.dispatch.inbox import CommitPolicy
from orderintake_server.dispatch.queues import OwnQueue, SharedQueue
from orderintake_server.dispatch.rate import DequeueRate
from orderintake_server.dispatch.ready import ReadyQueue
from orderintake_server.dispatch.retention import Retention
from orderintake_server.dispatch.stats import QueueStats
from orderintake_server.domain import Lease, NewOrder, Receipt, Tier
from orderintake_server.intake import Intake
from orderintake_server.metrics import Meters
from orderintake_server.store.measured import MeasuredCommits
from orderintake_server.views import TierCounts
from support.clocks import Seconds
from support.completed import AwaitedCompletions, encode
from support.faulty import FaultyStore


class Desk:
    """What a caller and a worker have to do with."""

    def __init__(  # noqa: PLR0913 - whatever a test wants to be different
        self,
        store: FaultyStore,
        *,
        limits: Limits | None = None,
        waiting: int = 0,
        window: int = 4096,
        max_crashes: int = 3,
        retention: float | None = None,
        orders_per_second: float | None = None,
        is_shared: bool = False,
        commits: CommitPolicy | None = None,
        step_orders: int = 200,
    ) -> None:
        self.store = store
        self.clock = Seconds()
        self.ready = ReadyQueue(window=window)
        self.attempts = Attempts()
        self.stats = QueueStats(store.recovery, self.clock)
        self.completions = AwaitedCompletions(
            store, encode, head=store.recovery.head, earliest=store.recovery.earliest
        )
        own = OwnQueue(self.ready, FreeWorkers(self.ready, max_crashes=max_crashes))
        counts = {Tier.VIP: TierCounts(), Tier.REGULAR: TierCounts(queued=waiting)}
        self.meters = Meters()
        self.committer = Committer(
            store=MeasuredCommits(store, self.meters),
            queue=SharedQueue(max_crashes=max_crashes) if is_shared else own,
            completions=self.completions,
            admission=Admission(
                limits or Limits(queue=1000), counts=counts, drain=DequeueRate(self.clock)
            ),
            attempts=self.attempts,
            stats=self.stats,
            retention=Retention(
                seconds=retention,
                request_seconds=None,
                clock=store.clock,
                step_orders=step_orders,
            ),
            clock=store.clock,
            policy=commits,
        )
        self.times = ServiceTimes(workers=1, clock=self.clock)
        self.intake = Intake(
            store=store,
            committer=self.committer,
            completions=self.completions,
            stats=self.stats,
            times=self.times,
            rate=CustomerRate(per_second=orders_per_second, burst=2, clock=self.clock),
            figures=HandlerFigures(),
        )

    async def place(self, *orders: NewOrder) -> tuple[Receipt, ...]:
        """Place a group of orders."""
        return await self.committer.accept(orders)

    async def start(self) -> Lease:
        """Start the most urgent order."""
        return await self.committer.next_order()

    async def starts(self, count: int) -> list[Lease]:
        """Start the most urgent orders, one after the other."""
        return [await self.start() for _ in range(count)]

    def turn(self, seconds: float) -> None:
        """Let so many seconds pass, and the committer look."""
        self.store.clock.turn(seconds)
        self.clock.turn(seconds)
        self.committer.look_at_clock()


@asynccontextmanager
async def working(desk: Desk) -> AsyncIterator[Desk]:
    """Let the committer run while inside; at the end all that was asked is durable."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.committer.run(), name="committer")
        yield desk
        desk.committer.close()
