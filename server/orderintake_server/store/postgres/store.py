"""The store for many machines: PostgreSQL, one commit at a time, each in one call."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orderintake_server.domain import State
from orderintake_server.errors import StartupFailed, StoreAway, StoreBroken, StoreFull
from orderintake_server.store.base import Policy, RecoveryReport
from orderintake_server.store.changes import Changes, StoreState
from orderintake_server.store.postgres import connector, reads, schema, shared_policy
from orderintake_server.store.postgres.call import (
    Answer,
    Caller,
    arguments,
    counts,
    happened,
)
from orderintake_server.store.postgres.connector import Connector, failures
from orderintake_server.store.postgres.heartbeat import Heartbeat
from orderintake_server.store.postgres.notifier import Notifier
from orderintake_server.store.postgres.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    import asyncpg

    from orderintake_server.domain import Completion, Order, Receipt, Tier
    from orderintake_server.errors import RequestIdReused
    from orderintake_server.store.changes import Committed, OverCapacity
    from orderintake_server.store.postgres.connector import Row
    from orderintake_server.views import LogPage, OrderFilter

READERS = 4
"""Connections that read."""
STAGGER = 200_000
"""Microseconds by which each replica looks later for what is due than the one that is older: the
oldest does it, the others see to it when it does not."""
MOST_STAGGER = 600_000


class PostgresStore:
    """A `Store` that any number of processes use together."""

    is_shared = True

    def __init__(
        self,
        link: Connector,
        *,
        session: Heartbeat,
        watch: Notifier,
        policy: Policy,
        clock: Callable[[], int] | None,
    ) -> None:
        """Serve from the database behind `link`, as what `session` is.

        `clock` tells microseconds since 1970; None: the database's clock does.
        """
        self._link = link
        self._session = session
        self._watch = watch
        self._policy = policy
        self._clock = clock
        self._turn = asyncio.Lock()  # a session's commits come to the database in their order
        self._writer = Writer(link)
        self._readers: asyncpg.Pool[asyncpg.Record] | None = None
        self._request = 0
        self._known: Mapping[str, Any] = {}
        self._cancels = 0
        self._leased: dict[int, int] = {}
        """Accept sequences of what this process has in process, by start sequence."""
        self._lost_an_answer = False
        self.recovery = RecoveryReport(
            log_id="", counts={}, recovered=0, quarantined=0, head=0, earliest=0
        )

    async def open(self) -> None:
        """Take stock, and take back what dead replicas had in process."""
        self._readers = await self._link.connect_many(READERS)
        said = (await self._call(Changes(), opens=True)).summary
        ((log_id,),) = await self._fetch("SELECT log_id FROM orderintake.identity")
        recovered, quarantined = said.get("reaped") or (0, 0)
        self.recovery = RecoveryReport(
            log_id=log_id,
            counts=counts(said),
            recovered=recovered,
            quarantined=quarantined,
            head=said["completed"],
            earliest=said["earliest"],
            paused=happened(said, said)["paused"],
        )
        self._know(said)
        self._cancels = said["cancels"]

    async def close(self) -> None:
        """Let the connections go."""
        self._writer.close()
        if self._readers is not None:
            self._readers.terminate()

    # Changes

    async def note_stop(self) -> None:
        """Do nothing: what this replica leaves in process, others count as a crash."""

    async def commit(self, changes: Changes) -> Committed:
        """Keep `Store.commit`."""
        if changes.prune and self._session.standing.place:
            changes = replace(changes, prune=None)  # the oldest replica sees to it
        async with self._turn:
            answer = await self._call(changes)
            before, said = self._known or answer.summary, answer.summary
            committed = answer.committed(changes, before=before)
            self._know(said)
            self._keep_leases(changes, committed)
            if said["number"] > before["number"]:
                self._watch.tell_others()
            return replace(
                committed,
                accepted=[await self._placed(outcome) for outcome in committed.accepted],
                next_due=self._locally(committed.next_due, said["time"]),
            )

    async def _call(self, changes: Changes, *, opens: bool = False) -> Answer:
        self._request += 1
        caller = Caller(
            session_id=self._session.standing.session_id,
            request=self._request,
            max_crashes=self._policy.max_crashes,
            lease_seconds=self._session.lease_seconds,
            opens=opens,
            now=None if self._clock is None else self._clock(),
            held=list(self._leased) if self._lost_an_answer else None,
        )
        try:
            answer = await self._writer.call(arguments(changes, caller))
        except StoreAway:
            self._lost_an_answer = True
            raise
        self._lost_an_answer = False
        return answer

    def _know(self, said: Mapping[str, Any]) -> None:
        if not self._known or said["number"] >= self._known["number"]:
            self._known = said

    def _keep_leases(self, changes: Changes, committed: Committed) -> None:
        over = [*changes.releases, *(settle.lease for settle in changes.settles)]
        for lease in over:
            self._leased.pop(lease.order.start_sequence, None)
        for begun in (*committed.claimed_next, *committed.claimed):
            if begun is not None:
                self._leased[begun.order.start_sequence] = begun.order.accept_sequence

    async def _placed(
        self, outcome: tuple[Receipt, ...] | RequestIdReused | OverCapacity
    ) -> tuple[Receipt, ...] | RequestIdReused | OverCapacity:
        """Add the place in the queue of what was accepted before, which takes counting."""
        if not isinstance(outcome, tuple):
            return outcome
        return tuple([
            replace(receipt, position=await self._counted(receipt.order.accept_sequence))
            if receipt.replayed and receipt.order.state is State.QUEUED
            else receipt
            for receipt in outcome
        ])  # fmt: skip

    async def _counted(self, accept_sequence: int) -> int:
        """Count a place in the queue; where that fails it is not told: the commit is done."""
        try:
            return await self.position(accept_sequence)
        except (StoreAway, StoreFull):
            return 0

    def _locally(self, due: int | None, then: int) -> int | None:
        """Tell by our clock when something is due, a little later for each older replica."""
        if due is None or self._clock is not None:
            return due
        stagger = min(self._session.standing.place * STAGGER, MOST_STAGGER)
        return due - then + self._watch.now() + stagger

    # Reads

    async def find(self, accept_sequence: int) -> Order | Completion | None:
        """Keep `Store.find`."""
        return await reads.find(self._fetch, accept_sequence)

    async def position(self, accept_sequence: int) -> int:
        """Keep `Store.position`."""
        return await reads.position(self._fetch, accept_sequence)

    async def list_orders(
        self, wanted: OrderFilter, *, after: int, limit: int
    ) -> tuple[list[Order], int | None]:
        """Keep `Store.list_orders`."""
        return await reads.list_orders(self._fetch, wanted, after, limit)

    async def read_log(
        self, wanted: OrderFilter, *, after: int, limit: int, max_bytes: int
    ) -> LogPage:
        """Keep `Store.read_log`."""
        return await reads.read_log(self._fetch, wanted, after, limit, max_bytes)

    async def bounds(self) -> tuple[int, int]:
        """Keep `Store.bounds`."""
        return await reads.bounds(self._fetch)

    async def oldest_waiting(self) -> dict[Tier, int]:
        """Keep `Store.oldest_waiting`."""
        return await reads.oldest_waiting(self._fetch)

    async def _fetch(self, query: str, *values: object) -> list[Row]:
        """Read by a connection that is free, for which nobody waits for ever."""
        assert self._readers is not None  # noqa: S101 - open; mypy cannot know
        with failures():
            async with asyncio.timeout(connector.CALL_SECONDS):
                connection = await self._readers.acquire()
            try:
                return await self._link.fetch(connection, query, *values)
            finally:
                await self._readers.release(connection)

    # What others do

    async def watch(self) -> AsyncIterator[StoreState]:
        """Keep `Store.news`."""
        while True:
            said = await self._watch.newest(after=self._told)
            to_stop = await self._to_stop(said["cancels"])
            async with self._turn:  # a commit under way, which may be older, tells its own first
                before = self._known
                self._know(said)
                happening = happened(self._known, before)
            due = self._locally(happening.pop("next_due"), said["time"])
            if self._watch.has_chores():
                due = 0
            yield StoreState(
                **happening,
                next_due=due,
                to_stop=to_stop,
                workers=self._session.standing.workers,
            )

    def _told(self) -> int:
        """Tell which is the newest commit of which nothing is left to be told."""
        has_cancels = bool(self._known["cancels"] != self._cancels)
        return int(self._known["number"]) - has_cancels

    async def _to_stop(self, cancels: int) -> tuple[int, ...]:
        """Ask which of our attempts somebody asked to cancel since the last time."""
        if cancels == self._cancels:
            return ()
        session_id = self._session.standing.session_id
        try:
            rows = await self._fetch(_TO_STOP, session_id)
        except (StoreAway, StoreFull):  # asked again by the next look, which waits for the store
            return ()
        ours = set(self._leased.values())
        numbers = tuple(number for (number,) in rows if number in ours)
        if len(numbers) == len(rows):  # else one is just being given to us, or taken
            self._cancels = cancels
        return numbers


@asynccontextmanager
async def postgres_store(  # noqa: PLR0913 - what a replica is
    address: str,
    *,
    replica: str = "",
    workers: int = 0,
    lease_seconds: float = 15.0,
    hints: bool = True,
    is_pooled: bool = False,
    clock: Callable[[], int] | None = None,
    policy: Policy | None = None,
) -> AsyncIterator[PostgresStore]:
    """Open the store in the database at `address`, as the replica of this name, while inside.

    Of a replica that is silent for `lease_seconds` everything in process is started anew by the
    others. `hints`: replicas tell each other by NOTIFY; without, what one does is seen by others a
    little later. `is_pooled`: the address leads through a pooler in transaction mode; there are
    no hints then. `clock` stands in for the database's, in microseconds since 1970.

    Raises StartupFailed when the database cannot be reached, has no store of this version's schema,
    or replicas with another policy are alive.
    """
    policy = policy or Policy()
    link = Connector(address, is_pooled)
    session = Heartbeat(link, replica=replica, workers=workers, lease_seconds=lease_seconds)
    watch = Notifier(link, session, hints=hints)
    store = PostgresStore(link, session=session, watch=watch, policy=policy, clock=clock)
    try:
        try:
            await _prepared(link, policy, session)
            await store.open()
        except (StoreAway, StoreFull, StoreBroken) as error:
            raise StartupFailed(f"cannot open the store: {error}") from error
        yield store
    finally:
        await session.end()
        watch.close()
        await store.close()


async def _prepared(link: Connector, policy: Policy, session: Heartbeat) -> None:
    """Check the database, and begin to live in it."""
    one, other = await link.connect(), await link.connect()
    try:
        await schema.check(one)
        await schema.refuse_no_lock(one, other)
        with failures():
            async with one.transaction():
                await shared_policy.adopt(one, policy)
                await session.begin(one)
        await session.speak()
    finally:
        one.terminate()
        other.terminate()


_TO_STOP = """
SELECT accept_sequence FROM orderintake.leases WHERE session_id = $1 AND cancel_requested
"""
