"""Every rule of a store's audit: obeyed by what the store does, and named when it is broken."""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orderintake_server.domain import Ranking, Tier
from orderintake_server.errors import StartupFailed
from orderintake_server.store.audit import ORDER_OF_STARTS, SHOWN, Finding
from orderintake_server.store.base import Policy
from orderintake_server.store.sqlite.audit import RULES, audit
from orderintake_server.store.sqlite.database import NAME
from support.changes import (
    BOSS,
    FAILED,
    again,
    new,
    pause,
    place,
    prune,
    settle,
    start,
)
from support.clocks import SECOND
from support.mixes import mix
from support.stores import SqliteHome
from support.work import ANN, report, take


@pytest.fixture
def home(sqlite_home: SqliteHome) -> SqliteHome:
    """The place of a store."""
    return sqlite_home


@pytest.fixture
async def data(home: SqliteHome) -> Path:
    """A closed store with rows in every table; of orders 1 to 5, which ended, two are pruned."""
    store = await home.open()
    await place(store, *(new(request_id=str(number)) for number in range(1, 13)))
    leases = await start(store, 8)
    await settle(store, *leases[:4])
    await settle(store, leases[4], ending=FAILED)
    await prune(store, home.clock.now, limit=2)
    await settle(store, leases[5], ending=again(60 * SECOND))
    await place(store, new(vip=True, expire_time=home.clock.later(60)))
    home.clock.leap(-3600)
    await pause(store, Tier.VIP, by=BOSS)
    retried, _ = await take(store, ANN, 2)
    await report(store, retried, ending=again(60 * SECOND))
    await home.close()
    return home.directory


def _break(data: Path, script: str) -> None:
    with closing(sqlite3.connect(data / NAME)) as connection:
        connection.executescript(script)


def _rules(data: Path) -> list[str]:
    return [finding.rule for finding in audit(data)]


def test_a_sound_store_breaks_no_rule(data: Path) -> None:
    with closing(sqlite3.connect(data / NAME)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() > (0,), table  # noqa: S608
    assert audit(data) == []


BREAKS = {
    "a completion is missing": (
        "completion sequences have no hole",
        "DELETE FROM log WHERE sequence = 4",
    ),
    "the last completion is missing": (
        "the log begins after what was pruned and ends at its counter",
        "DELETE FROM log WHERE sequence = 5",
    ),
    "the first completion is missing": (
        "the log begins after what was pruned and ends at its counter",
        "DELETE FROM log WHERE sequence = 3",
    ),
    "all completions are missing": (
        "the log begins after what was pruned and ends at its counter",
        "DELETE FROM log",
    ),
    "a queued order was lost": (
        "every order is in exactly one place",
        "DELETE FROM ready WHERE accept_sequence = 12",
    ),
    "an ended order waits": (
        "every order is in exactly one place",
        "INSERT INTO scheduled VALUES (3, 1, 1, 0)",
    ),
    "an order runs and waits": (
        "every order is in exactly one place",
        """INSERT INTO leases (accept_sequence, attempt_count, start_sequence, start_time)
        SELECT accept_sequence, 1, 1, 1 FROM ready LIMIT 1""",
    ),
    "an order that waits is missing": (
        "nothing stands for an order that is not there",
        "DELETE FROM orders WHERE accept_sequence = 9",
    ),
    "an ended order is missing": (
        "nothing stands for an order that is not there",
        "DELETE FROM orders WHERE accept_sequence = 5",
    ),
    "the counter of orders was set back": (
        "accept sequences were all given",
        "UPDATE counters SET accepted = accepted - 1",
    ),
    "two orders have the same start": (
        "a number of a start is given once",
        "INSERT INTO starts SELECT 9, start_sequence, start_time FROM leases LIMIT 1",
    ),
    "an ended order's start is missing": (
        "what ended or runs has its start",
        "DELETE FROM starts WHERE accept_sequence = 5",
    ),
    "a running order's start is missing": (
        "what ended or runs has its start",
        "DELETE FROM starts WHERE accept_sequence = 8",
    ),
    "the counter of starts was set back": (
        "start sequences were all given",
        "UPDATE counters SET started = started - 1",
    ),
    "an order started when its time was over": (
        "no order starts after its time is over",
        """UPDATE orders SET expire_time = (SELECT start_time FROM starts WHERE accept_sequence = 8)
        WHERE accept_sequence = 8""",
    ),
    "an order waits in another's place": (
        "an order's place in the queue is its own",
        "UPDATE ready SET rank = rank - 5 WHERE accept_sequence = 12",
    ),
    "an order waits in another tier": (
        "an order's place in the queue is its own",
        "UPDATE ready SET tier = 2 WHERE accept_sequence = 12",
    ),
    "an order has another rank": (
        "ranks follow the policy",
        """UPDATE orders SET rank = rank - 5 WHERE accept_sequence = 12;
        UPDATE ready SET rank = rank - 5 WHERE accept_sequence = 12""",
    ),
    "the policy is another": (
        "ranks follow the policy",
        "UPDATE policy SET vip_head_start = 1000000",
    ),
    "an order was accepted before an earlier one": (
        "accept times never go back",
        "UPDATE orders SET accept_time = accept_time - 1 WHERE accept_sequence = 12",
    ),
    "a request_id names another's order": (
        "a request_id names an order of its customer",
        "UPDATE requests SET customer_id = 'bob' WHERE request_id = '9'",
    ),
    "a request_id names no order": (
        "a request_id names an order of its customer",
        "UPDATE requests SET outcome = 0 WHERE request_id = '1'",
    ),
    "a request_id names an order that knows of none": (
        "a request_id names an order of its customer",
        "UPDATE orders SET request_id = NULL WHERE accept_sequence = 9",
    ),
    "a request_id names an order that knows another": (
        "a request_id names an order of its customer",
        "UPDATE requests SET accept_sequence = 10 WHERE request_id = '9'",
    ),
    "a failed order has no failure": (
        "a failed order has a failure, and no other has",
        "UPDATE log SET failure_code = NULL WHERE outcome = 5",
    ),
    "an order succeeded with a failure": (
        "a failed order has a failure, and no other has",
        "UPDATE log SET failure_code = 'E' WHERE outcome = 4",
    ),
    "an ended order has not ended": (
        "a failed order has a failure, and no other has",
        "UPDATE log SET outcome = 1 WHERE sequence = 3",
    ),
    "orders started in another order": (
        ORDER_OF_STARTS,
        """UPDATE starts SET start_sequence = 1000 - start_sequence;
        UPDATE leases SET start_sequence = 1000 - start_sequence;
        UPDATE log SET start_sequence = 1000 - start_sequence;
        UPDATE counters SET started = 1000""",
    ),
    "a completion of another customer's": (
        "the log tells whose order each completion ended",
        "UPDATE log SET customer_id = 'eve'",
    ),
    "a completion of another tier": (
        "the log tells whose order each completion ended",
        "UPDATE log SET tier = 3 - tier",
    ),
    "a failed order names a copy that is of another one": (
        "a redriven order tells of its copy",
        "UPDATE log SET copy = 9 WHERE accept_sequence = 5",
    ),
    "an order that was redriven is still to be redriven": (
        "a redriven order tells of its copy",
        """UPDATE orders SET redrive_of = 5, request_id = char(31) || 'redrive 5'
        WHERE accept_sequence = 13""",
    ),
    "an operator's action is missing": (
        "what operators did is numbered without a hole",
        "UPDATE operator_actions SET sequence = 2",
    ),
    "an operator paused a tier that was not paused": (
        "a tier that an operator paused or resumed was so then",
        "UPDATE operator_actions SET tier = 1",
    ),
    "an operator resumed a tier that was paused then": (
        "a tier that an operator paused or resumed was so then",
        "UPDATE operator_actions SET action = 2",
    ),
    "an operator's copy is of another order": (
        "an operator's copy is one of the order that was redriven",
        """UPDATE operator_actions
        SET action = 3, tier = 0, accept_sequence = 5, detail = '{"copy": 9}'""",
    ),
    "what an operator cancelled is queued": (
        "what an operator cancelled does not wait",
        "UPDATE operator_actions SET action = 4, tier = 0, accept_sequence = 12",
    ),
    "what an operator cancelled is scheduled": (
        "what an operator cancelled does not wait",
        "UPDATE operator_actions SET action = 4, tier = 0, accept_sequence = 6",
    ),
    "a lease of a worker that is not there": (
        "who has a lease is this process, or a worker that is there",
        "DELETE FROM workers",
    ),
    "a lease of a worker that has ended": (
        "who has a lease is this process, or a worker that is there",
        "UPDATE workers SET ended_at = 1",
    ),
    "an order that was to run alone does not": (
        "a worker that has an order to run alone has no other",
        "UPDATE leases SET worker = 1, is_alone = accept_sequence = 10",
    ),
    "an attempt under way has crashed": (
        "each crash is of another attempt that is over",
        "UPDATE leases SET crash_count = attempt_count",
    ),
    "an order crashed that was never tried": (
        "each crash is of another attempt that is over",
        "UPDATE ready SET crash_count = 1",
    ),
    "an order crashed more often than it was tried": (
        "each crash is of another attempt that is over",
        "UPDATE scheduled SET crash_count = 2",
    ),
    "an attempt ended that never started": (
        "what a worker ended without a completion did start, and is over",
        "INSERT INTO ends VALUES (99, 2, 0)",
    ),
    "an attempt goes on that had ended": (
        "what a worker ended without a completion did start, and is over",
        "INSERT INTO ends SELECT start_sequence, 1, 0 FROM leases",
    ),
    "an attempt ended with and without a completion": (
        "what a worker ended without a completion did start, and is over",
        "INSERT INTO ends SELECT start_sequence, 2, 0 FROM log",
    ),
}


@pytest.mark.parametrize(("rule", "script"), BREAKS.values(), ids=BREAKS.keys())
def test_what_breaks_a_rule_is_named(data: Path, rule: str, script: str) -> None:
    _break(data, script)
    assert rule in _rules(data)


def test_every_rule_is_seen_broken() -> None:
    assert {rule for rule, _ in BREAKS.values()} == {*RULES, ORDER_OF_STARTS}


def test_a_finding_counts_all_and_shows_a_few(data: Path) -> None:
    _break(data, "UPDATE requests SET customer_id = 'bob'")
    (finding,) = audit(data)
    assert finding.count > SHOWN == len(finding.examples)
    assert finding.examples[0] == "request_id 10, order 10"


def test_damage_to_the_file_is_found(data: Path) -> None:
    with closing(sqlite3.connect(data / NAME)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'orders_of_customer'"
        (page,) = connection.execute(query).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytearray((data / NAME).read_bytes())
    entry = raw.index(b"ada", (page - 1) * size)
    raw[entry : entry + 3] = b"eve"
    (data / NAME).write_bytes(raw)
    (finding,) = audit(data)
    assert finding.rule == "the file is sound"
    assert finding.count == len(finding.examples) > 0


@pytest.mark.seconds
@pytest.mark.parametrize("head_start", [None, 5 * SECOND])
async def test_after_a_long_run_no_rule_is_broken(home: SqliteHome, head_start: int | None) -> None:
    home.policy = Policy(ranking=Ranking(vip_head_start=head_start), max_crashes=2)
    store = await home.open()
    chance = random.Random(head_start)
    for turn in range(60):
        await mix(home, store, chance)
        if turn % 7 == 0:
            await prune(store, home.clock.later(-30), limit=20)
            await pause(store, Tier.VIP, is_paused=chance.random() < 0.5)
        if turn % 10 == 0:
            store = await home.crash()
        if turn % 20 == 0:
            assert await _findings(home) == []
    await home.close()
    assert await _findings(home) == []


async def test_a_store_in_use_can_be_audited_and_goes_on(home: SqliteHome) -> None:
    store = await home.open()
    await place(store, new())
    assert await _findings(home) == []
    await place(store, new())
    assert await _findings(home) == []


def test_where_there_is_no_store_there_is_nothing_to_audit(tmp_path: Path) -> None:
    with pytest.raises(StartupFailed, match="there is no store in"):
        audit(tmp_path / "nowhere")
    with pytest.raises(StartupFailed, match="there is no store in"):
        audit(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(StartupFailed, match="cannot read the store"):
        audit(tmp_path)


def test_a_store_without_its_tables_cannot_be_read(data: Path) -> None:
    _break(data, "DROP TABLE counters")
    with pytest.raises(StartupFailed, match="cannot read the store"):
        audit(data)


@pytest.mark.parametrize(
    ("version", "text"), [(0, "of an older schema"), (1, "of an older"), (99, "newer than")]
)
def test_another_schema_is_refused(data: Path, version: int, text: str) -> None:
    _break(data, f"PRAGMA user_version = {version}")
    with pytest.raises(StartupFailed, match=text):
        audit(data)


async def _findings(home: SqliteHome) -> list[Finding]:
    return await asyncio.to_thread(home.findings)
