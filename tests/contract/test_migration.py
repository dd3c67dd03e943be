"""A store of the first version is brought to this one: nothing of it is lost, and it goes on."""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from orderintake_server.domain import (
    CancelOutcome,
    Completion,
    Failure,
    Order,
    Ranking,
    State,
    Tier,
)
from orderintake_server.errors import RequestIdReused, StartupFailed
from orderintake_server.store import base
from orderintake_server.store.audit import Finding
from orderintake_server.store.base import Policy
from orderintake_server.store.sqlite.database import NAME
from orderintake_server.views import OrderFilter, TierCounts
from support.changes import (
    FAILURE,
    accept,
    cancel,
    new,
    order,
    place,
    position,
    prune,
    queue,
    settle,
    start,
    strictly,
    waiting,
    whole_log,
)
from support.clocks import SECOND, Microseconds
from support.stores import SqliteHome

BEGIN = Microseconds().now - 1_000 * SECOND
REGULAR = 1 << 56

ROWS = """
UPDATE identity SET log_id = '0badcafe';
UPDATE counters SET accepted = 6, started = 6, completed = 2;
INSERT INTO orders VALUES
  (1, 'ada', 1, :regular + 1, :begin + 1, x'01'),
  (2, 'bob', 2,            2, :begin + 2, x'02'),
  (3, 'ada', 1, :regular + 3, :begin + 3, x'03'),
  (4, 'ada', 2,            4, :begin + 4, x'04'),
  (5, 'bob', 1, :regular + 5, :begin + 5, x'05'),
  (6, 'bob', 1, :regular + 6, :begin + 6, x'06');
INSERT INTO requests VALUES
  ('ada', 'one', 1, :digest_1), ('ada', 'three', 3, :digest_3), ('bob', 'five', 5, :digest_5);
INSERT INTO log VALUES
  (1, 2, 5, 2, 2, :begin + 10, :begin + 20, 'HANDLER_ERROR', 'LookupError: no such article', NULL),
  (2, 1, 4, 1, 3, :begin + 30, :begin + 40, NULL, NULL, x'72');
INSERT INTO leases VALUES (3, 2, 5, :begin + 50), (4, 1, 6, :begin + 60);
INSERT INTO ready VALUES (:regular + 5, 5, 1), (:regular + 6, 6, 0);
"""
"""Order 5 had an attempt that a crash cut short, and order 2 a first one."""


def _rows() -> list[str]:
    """Write the values into the text, as the old server would have."""
    text = ROWS.replace(":regular", str(REGULAR)).replace(":begin", str(BEGIN))
    for number in (1, 3, 5):
        digest = hashlib.blake2b(bytes([number]), digest_size=16).hexdigest()
        text = text.replace(f":digest_{number}", f"x'{digest}'")
    return text.split(";")


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[SqliteHome]:
    """The place of a store of the first version, with rows in every table."""
    place = SqliteHome(tmp_path)
    _make_old(place.directory)
    yield place
    await place.close()


def _make_old(directory: Path) -> None:
    directory.mkdir()
    schema = (
        resources.files(f"{base.__package__}.sqlite").joinpath("tables/0001_orders.sql").read_text()
    )
    with closing(sqlite3.connect(directory / NAME)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {schema} PRAGMA user_version = 1; COMMIT;")
        for statement in _rows():
            connection.execute(statement)
        connection.commit()


async def test_an_old_store_is_found_as_it_was_left(home: SqliteHome) -> None:
    found = (await home.open()).recovery
    assert found.log_id == "0badcafe"
    assert (found.head, found.earliest, found.recovered, found.quarantined) == (2, 0, 2, 0)
    assert found.counts == {Tier.REGULAR: TierCounts(queued=3), Tier.VIP: TierCounts(queued=1)}
    assert found.paused == frozenset()


async def test_its_completions_are_as_they_were(home: SqliteHome) -> None:
    store = await home.open()
    failed = Order(
        accept_sequence=2,
        customer_id="bob",
        tier=Tier.VIP,
        content=b"\x02",
        accept_time=BEGIN + 2,
        state=State.FAILED,
        attempt_count=2,
        start_sequence=2,
        start_time=BEGIN + 10,
        complete_time=BEGIN + 20,
    )
    first, second = await whole_log(store)
    assert first == Completion(sequence=1, order=failed, failure=FAILURE)
    assert isinstance(first.failure, Failure)
    assert (second.order.state, second.result) == (State.SUCCEEDED, b"r")
    assert await store.find(2) == first


async def test_its_orders_wait_in_their_places(home: SqliteHome) -> None:
    store = await home.open()
    assert await waiting(store) == [
        strictly(4, vip=True, crash_count=1),
        strictly(3, crash_count=1),
        strictly(5),
        strictly(6),
    ]
    assert [await position(store, number) for number in range(1, 7)] == [0, 0, 2, 1, 3, 4]
    assert [(await order(store, number)).attempt_count for number in range(3, 7)] == [2, 1, 1, 0]


async def test_its_request_ids_are_known(home: SqliteHome) -> None:
    store = await home.open()
    replays = [
        new(b"\x01", request_id="one"),
        new(b"\x03", request_id="three"),
        new(b"\x05", customer_id="bob", request_id="five"),
    ]
    receipts, refusal = await accept(store, replays, [new(b"\x05", request_id="one")])
    assert isinstance(receipts, tuple)
    assert [receipt.order.accept_sequence for receipt in receipts] == [1, 3, 5]
    assert [receipt.position for receipt in receipts] == [0, 2, 3]
    assert all(receipt.replayed for receipt in receipts)
    assert isinstance(refusal, RequestIdReused)


async def test_its_numbers_go_on(home: SqliteHome) -> None:
    store = await home.open()
    (receipt,) = await place(store, new())
    assert receipt.order.accept_sequence == 7
    assert receipt.order.accept_time > BEGIN + 6
    (lease,) = await start(store)
    assert (lease.order.accept_sequence, lease.order.start_sequence) == (4, 7)
    await settle(store, lease)
    assert [end.sequence for end in await whole_log(store)] == [1, 2, 3]


async def test_its_orders_are_listed_by_customer(home: SqliteHome) -> None:
    store = await home.open()
    orders, _ = await store.list_orders(OrderFilter(customer_id="bob"), after=0, limit=9)
    assert [order.accept_sequence for order in orders] == [2, 5, 6]
    page = await store.read_log(OrderFilter(tier=Tier.VIP), after=0, limit=9, max_bytes=9999)
    assert [end.sequence for end in page.completions] == [1]
    page = await store.read_log(OrderFilter(customer_id="ada"), after=0, limit=9, max_bytes=9999)
    assert [end.sequence for end in page.completions] == [2]


async def test_its_orders_can_be_cancelled_and_pruned(home: SqliteHome) -> None:
    store = await home.open()
    answers = await cancel(store, 1, 5)
    assert [answer and answer.outcome for answer in answers] == [
        CancelOutcome.TOO_LATE,
        CancelOutcome.CANCELLED,
    ]
    assert (await prune(store, home.clock.now)).earliest == 2
    (again,) = await place(store, new(b"\x01", request_id="one"))
    assert (again.replayed, again.order.state) == (True, State.SUCCEEDED)
    assert again.order.accept_time == BEGIN + 1


async def test_it_may_be_ranked_by_another_policy_at_once(home: SqliteHome) -> None:
    home.policy = Policy(ranking=Ranking(vip_head_start=1))
    store = await home.open()
    assert await queue(store) == [3, 4, 5, 6]


async def test_it_breaks_no_rule_then_and_after_it_went_on(home: SqliteHome) -> None:
    store = await home.open()
    await home.close()
    assert await _findings(home) == []
    store = await home.open()
    await place(store, new(vip=True), new())
    await settle(store, *await start(store, 6))
    await home.close()
    assert await _findings(home) == []


async def test_it_is_brought_to_this_version_once(home: SqliteHome) -> None:
    await place(await home.open(), new(vip=True))
    store = await home.reopen()
    assert await queue(store) == [4, 7, 3, 5, 6]
    assert store.recovery.recovered == 0


async def test_a_migration_that_fails_leaves_the_old_store(home: SqliteHome) -> None:
    path = home.directory / NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE starts (in_the INTEGER)")
        connection.commit()
    with pytest.raises(StartupFailed, match="starts already exists"):
        await home.open()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM ready").fetchone() == (2,)
        connection.execute("DROP TABLE starts")
        connection.commit()
    assert await queue(await home.open()) == [4, 3, 5, 6]


async def _findings(home: SqliteHome) -> list[Finding]:
    return await asyncio.to_thread(home.findings)
