"""What a PostgreSQL store does under load: a pinned snapshot, notifications, a full disk."""

import asyncio
import json
import random
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from orderintake_server.domain import Lease, NewOrder, Order, State, Tier
from orderintake_server.errors import StoreFull
from orderintake_server.store.base import Store
from orderintake_server.store.changes import Changes, ClaimNext, Settlement, Take
from orderintake_server.store.postgres.audit import audit
from orderintake_server.store.postgres.call import Caller, arguments
from orderintake_server.store.postgres.functions import this_release
from orderintake_server.store.postgres.notifier import LEAST_SECONDS
from orderintake_server.store.postgres.schema import migrate
from orderintake_server.store.postgres.store import postgres_store
from support import program
from support.changes import DONE, new, place, settle
from support.postgres_home import PostgresHome, kinds, running

if TYPE_CHECKING:
    from orderintake_server.store.postgres.connector import Connection

KINDS = kinds()[:1]
RELEASE = this_release()
ORDERS, BATCH, AT_ONCE = 30_000, 1_000, 100
TIMES = 2
"""How many times as many pages as at the beginning a commit may look at."""
CLAIMS = 10
BURST = 500
LATE_SECONDS = 0.5
DISK = "size=32m"
BALLAST, BULK = 64 * 1024, 4 * 1024


@pytest.fixture
def home(postgres_home: PostgresHome) -> PostgresHome:
    """The place of an empty store, of each PostgreSQL in turn."""
    return postgres_home


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["Connection"]:
    """Be connected to a database."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


class Measured:
    """A replica by hand, which is told how many pages each of its commits looked at."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._session_id = 0
        self._requests = count(1)

    async def begin(self) -> None:
        """Come to life."""
        self._session_id = await self._connection.fetchval(_BORN)

    async def pages(self) -> int:
        """Start orders and end them; tell how many pages that took."""
        started = await self._commit(
            Changes(claim_next=ClaimNext(takes=[Take(CLAIMS)], is_idle=True))
        )
        rows = await self._connection.fetch(_LEASED, self._session_id)
        settles = [Settlement(lease=_lease(*row), ending=DONE) for row in rows]
        assert len(settles) == CLAIMS
        return started + await self._commit(Changes(settles=settles))

    async def _commit(self, changes: Changes) -> int:
        request = next(self._requests)
        caller = Caller(session_id=self._session_id, request=request, max_crashes=3)
        explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {RELEASE.call}"
        plan = await self._connection.fetchval(explained, *arguments(changes, caller))
        top = json.loads(plan)[0]["Plan"]
        return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])


_BORN = """
INSERT INTO orderintake.sessions (replica, workers, since, expires_at)
VALUES ('measured', 1, now(), 'infinity') RETURNING session_id
"""
_LEASED = "SELECT accept_sequence, start_sequence FROM orderintake.leases WHERE session_id = $1"
_STARTED = "SELECT array_agg(accept_sequence ORDER BY start_sequence) FROM orderintake.starts"
_VIPS_FIRST = """
SELECT array_agg(accept_sequence ORDER BY tier DESC, accept_sequence) FROM orderintake.orders
"""


def _lease(accept_sequence: int, start_sequence: int) -> Lease:
    """Write as much of a lease as ends it."""
    order = Order(
        accept_sequence=accept_sequence,
        start_sequence=start_sequence,
        customer_id="",
        tier=Tier.REGULAR,
        content=b"",
        accept_time=0,
        state=State.PROCESSING,
    )
    return Lease(order=order, crash_count=0)


async def _process(store: Store) -> None:
    """Start and end all that waits."""
    leases: list[Lease] = []
    while True:
        settles = [Settlement(lease=lease, ending=DONE) for lease in leases]
        take = ClaimNext(takes=[Take(AT_ONCE)], is_idle=not leases)
        leases = (await store.commit(Changes(settles=settles, claim_next=take))).claimed_next
        if not leases:
            return


@pytest.mark.seconds
async def test_p6_while_an_old_snapshot_is_held_orders_start_in_order_for_the_same_work(
    home: PostgresHome,
) -> None:
    store = await home.open()
    async with connected(home.url) as holding, connected(home.url) as connection:
        measured = Measured(connection)
        await measured.begin()
        async with holding.transaction(isolation="repeatable_read"):
            await holding.fetchval("SELECT count(*) FROM orderintake.ready")
            for _ in range(ORDERS // BATCH):
                await place(store, *(new(vip=number % 4 == 0) for number in range(BATCH)))
            await measured.pages()  # with all that is looked up once
            first = await measured.pages()
            await _process(store)
            await place(store, *(new(vip=True) for _ in range(2 * CLAIMS)))
            # One of the two may plan anew, because statistics were taken meanwhile.
            last = min(await measured.pages(), await measured.pages())
        started = await connection.fetchval(_STARTED)
        expected = await connection.fetchval(_VIPS_FIRST)
    late = [number for number in expected if number > ORDERS]
    assert started == [number for number in expected if number <= ORDERS] + late
    assert last <= TIMES * first


async def _hear(store: Store, *, queued: int) -> None:
    """Listen to the news until so many regular orders wait."""
    async for news in store.watch():
        if news.counts[Tier.REGULAR].queued >= queued:
            return


async def test_without_hints_replicas_hear_of_each_other_in_time(home: PostgresHome) -> None:
    one, other = await home.open(), await home.open()
    for number in range(1, 6):
        await place(one if number % 2 else other, new())
        async with asyncio.timeout(LATE_SECONDS):
            await _hear(other if number % 2 else one, queued=number)


async def test_a_burst_of_commits_is_told_by_a_few_notifications_from_outside_of_them(
    home: PostgresHome,
) -> None:
    senders: list[int] = []
    has_come = asyncio.Event()

    def notified(_: object, pid: int, *_more: object) -> None:
        senders.append(pid)
        has_come.set()

    await home.open()
    async with (
        connected(home.url) as connection,
        postgres_store(home.url, clock=home.clock) as store,
    ):
        await connection.add_listener("orderintake", notified)
        hearing = asyncio.create_task(_hear(store, queued=BURST + 1))
        began = time.monotonic()
        for _ in range(BURST):
            await place(store, new())
        await has_come.wait()
        seconds = time.monotonic() - began
        hearing.cancel()
        committers = await connection.fetchval(_COMMITTERS)
        functions = await connection.fetchval(_NOTIFYING)
    assert len(senders) <= min(2 * seconds / LEAST_SECONDS, BURST)
    assert committers
    assert not {*committers} & {*senders}
    assert functions == 0


_COMMITTERS = """
SELECT array_agg(pid) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE '%commit_changes%'
"""
_NOTIFYING = """
SELECT count(*) FROM pg_proc
WHERE pronamespace::regnamespace::text LIKE 'orderintake%' AND prosrc ~* 'notify'
"""


class SmallDisk:
    """A disk of a few MiB, and a database on it."""

    def __init__(self, path: Path) -> None:
        self.url = ""
        self._path = path

    def fill(self) -> None:
        """Leave no room."""
        with (self._path / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(BALLAST))

    def make_room(self) -> None:
        """Take out what `fill` put in."""
        (self._path / "ballast").unlink()


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    """A small disk with an empty database."""
    cluster = running(KINDS[0].programs)
    mount, umount = shutil.which("mount") or "mount", shutil.which("umount") or "umount"
    with program.place() as path:
        mounted = subprocess.run([mount, "-t", "tmpfs", "-o", DISK, "tmpfs", path], check=False)
        if mounted.returncode:
            pytest.skip("a small disk can be mounted by root only")
        program.own(path)
        try:
            cluster.run_sql(f"CREATE TABLESPACE small LOCATION '{path}'", database="postgres")
            cluster.run_sql("CREATE DATABASE small TABLESPACE small", database="postgres")
            made = SmallDisk(path)
            made.url = cluster.url("small")
            yield made
            cluster.run_sql("DROP DATABASE small (FORCE)", database="postgres")
            cluster.run_sql("DROP TABLESPACE small", database="postgres")
        finally:
            subprocess.run([umount, "--lazy", path], check=True)


async def _place_until_full(store: Store) -> tuple[int, str]:
    """Place orders until the disk takes no more; tell how many it took, and why not this one."""
    for taken in count():
        try:
            await place(store, _bulky(taken))
        except StoreFull as full:
            return taken, str(full)
    raise AssertionError


def _bulky(number: int) -> NewOrder:
    return new(random.Random(number).randbytes(BULK), request_id=str(number))


async def test_p1_a_full_disk_refuses_what_it_has_no_room_for_and_takes_it_later(
    disk: SmallDisk,
) -> None:
    await migrate(disk.url)
    async with postgres_store(disk.url) as store:
        disk.fill()
        taken, why = await _place_until_full(store)
        disk.make_room()
        (receipt,) = await place(store, _bulky(taken))
        leases = (
            await store.commit(Changes(claim_next=ClaimNext(takes=[Take(taken + 1)], is_idle=True)))
        ).claimed_next
        assert await settle(store, *leases) == [State.SUCCEEDED] * (taken + 1)
    assert "No space left" in why
    assert not receipt.replayed
    assert receipt.order.accept_sequence == taken + 1
    assert await audit(disk.url) == []
