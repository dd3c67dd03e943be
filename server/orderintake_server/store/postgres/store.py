"""The store for many machines: PostgreSQL, one commit at a time, each in one call."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orderintake_server.errors import (
    StartupFailed,
    StoreAway,
    StoreError,
)
from orderintake_server.logger import get_logger
from orderintake_server.store.actions.postgres import list_actions
from orderintake_server.store.at_work.postgres import PostgresAtWork
from orderintake_server.store.base import Located, Policy
from orderintake_server.store.blame.postgres import failures, talking
from orderintake_server.store.changes import Changes, Committed, StoreState
from orderintake_server.store.condition.postgres import PostgresCondition
from orderintake_server.store.postgres import reads, schema, shared_policy
from orderintake_server.store.postgres.call import Caller, arguments
from orderintake_server.store.postgres.connector import ISOLATION, Connector, Readers
from orderintake_server.store.postgres.heartbeat import Heartbeat
from orderintake_server.store.postgres.known_state import KnownState, recovery_report
from orderintake_server.store.postgres.notifier import Notifier
from orderintake_server.store.postgres.others.asked import Asked
from orderintake_server.store.postgres.writer import Writer
from orderintake_server.store.rows import completion_of
from orderintake_server.store.selections.postgres import PostgresSelections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from orderintake_server.clock import Clock
    from orderintake_server.domain import Completion, Order, Tier
    from orderintake_server.store.base import RecoveryReport
    from orderintake_server.store.postgres.answer import Answer
    from orderintake_server.store.postgres.functions import Release
    from orderintake_server.store.postgres.schema import Version
    from orderintake_server.store.rows import ReadRow
    from orderintake_server.views import LogPage, OperatorAction, OrderFilter

log = get_logger()

STAGGER, MOST_STAGGER = 200_000, 600_000
"""Microseconds by which each replica looks later for what is due than the one that is older: the
oldest does it, the others see to it when it does not. And the most of it."""


class PostgresStore:
    """A `Store` that any number of processes use together."""

    is_shared = True
    recovery: RecoveryReport

    def __init__(
        self, heartbeat: Heartbeat, notifier: Notifier, *, policy: Policy, release: Release
    ) -> None:
        """Commit as the replica that `heartbeat` keeps alive, by the functions of `release`."""
        self._heartbeat = heartbeat
        self._notifier = notifier
        self._policy = policy
        self._release = release
        self._turn = asyncio.Lock()  # a session's commits come to the database in their order
        self._writer = Writer(heartbeat.connector, release)
        self._readers = Readers(heartbeat.connector)
        self.selections = PostgresSelections(self._readers.fetch, policy.ranking)
        self.at_work = PostgresAtWork(
            self._readers.fetch, heartbeat.signs.worker_lease, heartbeat.signs.follow
        )
        self.condition = PostgresCondition(self._readers.fetch, release.schema, heartbeat.session)
        self._request, self._lost_an_answer = 0, False
        self._state: KnownState
        self._asked = Asked(self._readers, heartbeat.session)

    async def open(self) -> None:
        """Take stock, and recover what expired replicas had in process."""
        await self._readers.open()
        found = (await self._call(Changes(), opens=True))[0].summary
        log_id, kept = await reads.identity(self._readers.fetch)
        self.recovery = recovery_report(found, log_id, kept)
        self._state = KnownState(found)
        self._notifier.begin(self._state.leapt)
        self._asked.begin(found)

    async def close(self) -> None:
        """Let the connections go."""
        self._writer.close()
        self._readers.close()

    # Changes

    async def note_stop(self) -> None:
        """Keep `Store.note_stop`."""
        await self._heartbeat.note_stop()

    async def commit(self, changes: Changes) -> Committed:
        """Keep `Store.commit`."""
        if changes.prune and self._heartbeat.status.older_replicas:
            changes = replace(changes, prune=None)  # the oldest replica sees to it
        async with self._turn:
            with self._notifier.committing():
                answer, committed = await self._call(changes)
            if answer.summary["number"] > self._state.number:
                self._notifier.notify(answer.summary["number"])
            self._state.see(answer.summary)
            self._notifier.heed(self._state.time, stops=self._asked.is_behind(self._state))
            self._asked.keep(changes, answer.leases)
        accepted = await reads.located(committed.accepted, self._readers.fetch, self._release)
        return replace(committed, accepted=accepted, **self._report())

    async def _call(self, changes: Changes, *, opens: bool = False) -> tuple[Answer, Committed]:
        self._request += 1
        try:
            with failures():
                values = arguments(changes, self._caller(opens=opens))
            answer = await self._writer.call(values)
            with talking():
                committed = answer.read(changes)
        except StoreAway:
            self._lost_an_answer = True
            raise
        self._lost_an_answer = False
        for replica, orders in answer.summary.get("lost_replicas") or ():
            log.warning("took over from a replica that died", replica=replica, orders=orders)
        for worker_id, name, taken in answer.summary.get("buried") or ():
            log.warning(
                "took over from a worker that died", worker=name or worker_id, orders=len(taken)
            )
        return answer, committed

    def _caller(self, *, opens: bool) -> Caller:
        status = self._heartbeat.status
        return Caller(
            session_id=status.session_id,
            request=self._request,
            max_crashes=self._policy.max_crashes,
            lease_seconds=self._heartbeat.lease_seconds,
            worker_lease=self._heartbeat.signs.worker_lease,
            buries=status.has_silent and status.may_bury and not opens,
            opens=opens,
            **self._notifier.clock_says(None if opens else self._state.leapt),
            held=self._asked.starts if self._lost_an_answer else None,
        )

    def _report(self) -> dict[str, Any]:
        """Tell how the store stands, and when by our clock something is due."""
        report = self._state.report()
        report["next_due"] = self._locally(report["next_due"])
        return report

    def _locally(self, due: int | None) -> int | None:
        """Tell by our clock when something is due, a little later for each older replica."""
        if due is None or self._notifier.has_stand_in:
            return due
        stagger = min(self._heartbeat.status.older_replicas * STAGGER, MOST_STAGGER)
        return due - self._state.time + self._notifier.now() + stagger

    # Reads

    async def find(self, accept_sequence: int) -> Order | Completion | None:
        """Keep `Store.find`."""
        return await reads.find(self._readers.fetch, accept_sequence)

    async def known_requests(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Keep `Store.known_requests`."""
        return await reads.known_requests(self._readers.fetch, names)

    async def locate(self, accept_sequence: int) -> Located | None:
        """Keep `Store.locate`."""
        found = await reads.locate(self._readers.fetch, self._release, [accept_sequence])
        return found.get(accept_sequence)

    async def list_orders(
        self, wanted: OrderFilter, *, after: int, limit: int, newest_first: bool = False
    ) -> tuple[list[Order], int | None]:
        """Keep `Store.list_orders`."""
        return await reads.list_orders(
            self._readers.fetch, wanted, after, limit, newest_first=newest_first
        )

    async def read_log(
        self,
        wanted: OrderFilter,
        *,
        after: int,
        limit: int,
        max_bytes: int,
        read: ReadRow = completion_of,
    ) -> LogPage[Any]:
        """Keep `Store.read_log`."""
        return await reads.read_log(self._readers.fetch, wanted, after, limit, max_bytes, read=read)

    async def bounds(self) -> tuple[int, int]:
        """Keep `Store.bounds`."""
        return await reads.bounds(self._readers.fetch)

    async def list_actions(
        self, accept_sequence: int | None, *, before: int, limit: int
    ) -> tuple[list[OperatorAction], bool]:
        """Keep `Store.list_actions`."""
        return await list_actions(self._readers.fetch, accept_sequence, before, limit)

    async def oldest_waiting(self) -> dict[Tier, int]:
        """Keep `Store.oldest_waiting`."""
        return await reads.oldest_waiting(self._readers.fetch)

    # What others do

    async def watch(self) -> AsyncIterator[StoreState]:
        """Keep `Store.watch`."""
        self._notifier.look_soon()
        while True:
            row = await self._notifier.newest(after=self._reported)
            to_stop = await self._asked.to_stop(row["cancels"])
            news = await self._asked.news(row["cancels"], row["news"])
            async with self._turn:  # a commit under way, which may be older, is noted before
                self._state.see(row)
            report = self._report()
            if self._notifier.has_chores():
                report["next_due"] = 0
            workers = self._heartbeat.status.workers
            yield StoreState(**report, to_stop=to_stop, news=news, workers=workers)

    def _reported(self) -> int:
        """Tell which is the newest commit of which nothing is left to report."""
        return self._state.number - self._asked.is_behind(self._state)


@asynccontextmanager
async def postgres_store(  # noqa: PLR0913 - what a replica is
    address: str,
    *,
    replica: str = "",
    workers: int = 0,
    lease_seconds: float = 15.0,
    worker_lease: float = 30.0,
    hints: bool = True,
    is_pooled: bool = False,
    connect_seconds: float = 5.0,
    call_seconds: float = 15.0,
    clock: Clock | None = None,
    policy: Policy | None = None,
    version: Version | None = None,
) -> AsyncIterator[PostgresStore]:
    """Open the store in the database at `address`, as the replica of this name, while inside.

    When a replica is silent for `lease_seconds`, the others recover what it has in process; so they
    do when a worker is for `worker_lease` seconds.
    `hints`: replicas tell each other of changes by NOTIFY, else they see them a little later; so it
    is where the address leads through a pooler in transaction mode (`is_pooled`).
    `connect_seconds`: for one attempt to connect to one server; `call_seconds` for one call.
    `clock` stands in for the database's; `version`: other steps and functions than this server's.

    Raises StartupFailed when the database cannot be reached or has no store of this version, and
    when replicas with another policy are alive.
    """
    policy = policy or Policy()
    known = await asyncio.to_thread(schema.this_version) if version is None else version
    connector = Connector(address, is_pooled, connect_seconds, call_seconds)
    heartbeat = Heartbeat(
        connector,
        replica=replica,
        workers=workers,
        lease_seconds=lease_seconds,
        worker_lease=worker_lease,
    )
    notifier = Notifier(connector, heartbeat, hints=hints, clock=clock)
    store = PostgresStore(heartbeat, notifier, policy=policy, release=known.release)
    try:
        try:
            await _prepare(heartbeat, policy, known)
            await store.open()
        except StoreError as error:
            raise StartupFailed(f"cannot open the store: {error}") from error
        yield store
    finally:
        await heartbeat.end()
        notifier.close()
        await store.close()


async def _prepare(heartbeat: Heartbeat, policy: Policy, version: Version) -> None:
    """Check the database, and register the replica in it."""
    one, other = await heartbeat.connector.connect(), await heartbeat.connector.connect()
    try:
        await schema.check(one, version)
        await schema.refuse_no_lock(one, other)
        await schema.tell_durability(one)
        with failures():
            async with one.transaction(isolation=ISOLATION):
                await shared_policy.adopt(one, policy, version.release)
                await heartbeat.register(one)
        await heartbeat.start()
    finally:
        one.terminate()
        other.terminate()
