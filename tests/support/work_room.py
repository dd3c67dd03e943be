"""A room of workers over a store and a committer that do only what a test tells them."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from orderintake.work.outcome import Kind, Outcome
from orderintake_server.dispatch.estimate import ServiceTimes
from orderintake_server.domain import Ending, Event, Failure, Lease, Order, State, Tier
from orderintake_server.holders import HeldLease, Holder, LeaseKey, LentLease, TakenBack, WorkerRow
from orderintake_server.metrics import Meters
from orderintake_server.store.work import AttemptEnd, WorkerState, WorkerWord
from orderintake_server.telemetry.spans import NoSpans
from orderintake_server.work.ground import Ground
from orderintake_server.work.life import Life
from orderintake_server.work.room import WorkRoom
from orderintake_server.work.running import Running
from support.clocks import Seconds

ME = "me-7f3a"


def key(number: int, *, start: int | None = None) -> LeaseKey:
    """Name a lease of an order."""
    return LeaseKey(number, start or number, Tier.REGULAR, 1, 0)


def lent(number: int, call: int = 1) -> LentLease:
    """Make the lease of an order that a worker got."""
    order = Order(
        accept_sequence=number,
        customer_id="ada",
        tier=Tier.REGULAR,
        content=b"",
        accept_time=1,
        state=State.PROCESSING,
        attempt_count=1,
        start_sequence=number,
        start_time=2,
    )
    return LentLease(order=order, crash_count=0, holder=Holder(ME, call))


def held(number: int, call: int = 1, *, is_cancel_requested: bool = False) -> HeldLease:
    """Make a lease as the store knows it."""
    return HeldLease(key(number), call, 2, is_cancel_requested)


class Committing:
    """Stands in for the committer: keeps what it is asked, and answers when a test does."""

    def __init__(self) -> None:
        self.offers: list[tuple[Holder, int, asyncio.Future[list[LentLease]]]] = []
        self.reports: list[tuple[LeaseKey, Ending | None]] = []
        self.states: dict[LeaseKey, State | Exception | None] = {}
        """What reports are answered at once; what is not here waits in `waiting`."""
        self.waiting: dict[LeaseKey, asyncio.Future[State | None]] = {}
        self.unawaited = 0
        self.released: list[Lease] = []
        self.words: list[WorkerWord] = []
        self.ended: list[str] = []
        self.buried: list[str] = []
        self.asked = asyncio.Event()
        self.on_recorded: Callable[[AttemptEnd, State], object] = lambda _, __: None
        self.on_news: Callable[[Collection[str]], object] = lambda _: None

    def offer(self, holder: Holder, slots: int) -> asyncio.Future[list[LentLease]]:
        """Keep an offer."""
        made: asyncio.Future[list[LentLease]] = asyncio.get_running_loop().create_future()
        self.offers.append((holder, slots, made))
        self.asked.set()
        return made

    def report(self, of: LeaseKey, ending: Ending | None) -> asyncio.Future[State | None]:
        """Keep a report, and answer it if that is known."""
        self.reports.append((of, ending))
        made: asyncio.Future[State | None] = asyncio.get_running_loop().create_future()
        answer = self.states.get(of)
        if of not in self.states:
            self.waiting[of] = made
        elif isinstance(answer, Exception):
            made.set_exception(answer)
        else:
            made.set_result(answer)
        self.asked.set()
        return made

    def release(self, lease: Lease) -> None:
        """Keep what is given back."""
        self.unawaited += 1
        self.released.append(lease)

    async def word(self, word: WorkerWord) -> WorkerState:
        """Keep what a worker says of itself."""
        self.words.append(word)
        return WorkerState.WORKS

    async def end(self, worker_id: str) -> list[TakenBack]:
        """Take back one order."""
        self.ended.append(worker_id)
        return [TakenBack(key(1), State.QUEUED)]

    async def bury(self, worker_id: str) -> list[TakenBack]:
        """Take back none."""
        self.buried.append(worker_id)
        return []


class Known:
    """Stands in for what the store knows of workers."""

    def __init__(self) -> None:
        self.rows: dict[str, WorkerRow] = {}
        self.given: dict[Holder, list[LentLease]] = {}
        self.reads = 0

    def know(self, *leases: HeldLease, **about: object) -> None:
        """Know the worker, with these leases."""
        said: dict[str, object] = {"name": "", "capacity": 0} | about
        self.rows[ME] = WorkerRow(worker_id=ME, since=1, leases=leases, **said)  # type: ignore[arg-type]

    async def read_worker(self, worker_id: str) -> WorkerRow | None:
        """Keep `AtWork.read_worker`."""
        self.reads += 1
        await asyncio.sleep(0)
        return self.rows.get(worker_id)

    async def leases_of(self, holder: Holder) -> Sequence[LentLease]:
        """Keep `AtWork.leases_of`."""
        await asyncio.sleep(0)
        return self.given.get(holder, [])


class Floor:
    """A room, and all that it stands on."""

    def __init__(self, *, limit: int = 10, is_shared: bool = False) -> None:
        self.clock = Seconds()
        self.committer, self.store = Committing(), Known()
        self.meters = Meters()
        self.times = ServiceTimes(workers=1, clock=self.clock)
        running = Running(
            times=self.times, meters=self.meters, spans=NoSpans(), order_id="o-{}".format
        )
        self.life = Life(lease_seconds=30, limit=limit, clock=self.clock)
        ground = Ground(
            at_work=self.store,  # type: ignore[arg-type]
            remote=self.committer,  # type: ignore[arg-type]
            running=running,
            meters=self.meters.work,
        )
        self.room = WorkRoom(
            ground, decide=decided, life=self.life, is_shared=is_shared, clock=self.clock
        )

    async def when_asked(self) -> None:
        """Wait until the committer is asked something."""
        await self.committer.asked.wait()
        self.committer.asked.clear()


def decided(outcome: Outcome, tries: int) -> Ending:
    """Make an ending: the first attempt is the last one."""
    assert tries == 1
    if outcome.kind is Kind.SUCCEEDED:
        return Ending(result=outcome.result)
    return Ending(event=Event.FAIL, failure=Failure(code=outcome.code, message=outcome.message))
