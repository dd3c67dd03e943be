"""Every rule of the audit of a PostgreSQL store: obeyed by the store, and named when broken."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orderintake_server.domain import Lease, Ranking, Tier
from orderintake_server.errors import StartupFailed
from orderintake_server.holders import Holder, key_of
from orderintake_server.store.audit import ORDER_OF_STARTS, SHOWN, Finding
from orderintake_server.store.base import Policy, Store
from orderintake_server.store.changes import Changes, ClaimNext, Take
from orderintake_server.store.postgres.audit import RULES, audit
from orderintake_server.store.work import AttemptEnd, Work, WorkerWord
from support.changes import BOSS, FAILED, again, new, pause, place, prune, settle
from support.clocks import SECOND
from support.mixes import mix
from support.postgres import Cluster
from support.postgres_home import PostgresHome, each, kinds

pytestmark = pytest.mark.again  # SQLite's audit has the same rules

KINDS = kinds()
PLACES = "every order is in exactly one place"
ORDERS = "nothing stands for an order that is not there"
COUNTS = "as many orders stand in each place as the newest commit tells"
CUSTOMERS = "the orders of each customer that wait are counted"
COMMITS = "there are one name, one policy and a newest commit"
REQUESTS = "a request_id names an order of its customer"
PAUSED = "a tier that an operator paused or resumed was so then"
NAMED = "an order's request_id names it"
LENT = "what a worker has is leased by one that is known and has not ended"
CRASHES = "no order has crashed in more attempts than it had"
NOTED = "what was noted of an attempt is of one that began and is over"
DEADLINE = "the next time at which an attempt has to be over is not too late"
SLOTS = "the slots of workers that live are counted"


BEFORE = """
SET search_path = orderintake;
CREATE TEMPORARY VIEW newest AS
  SELECT * FROM commits WHERE number = (SELECT max(number) FROM commits);
"""
"""What every script finds: the tables, and the newest commit, which it may change."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """A copy of a store, to be spoiled."""

    cluster: Cluster
    name: str

    def audit(self) -> list[Finding]:
        return asyncio.run(audit(self.cluster.url(self.name)))

    def broken(self) -> set[str]:
        return {finding.rule for finding in self.audit()}

    def run_sql(self, script: str) -> str:
        return self.cluster.run_sql(BEFORE + script, database=self.name)


@pytest.fixture(params=each(KINDS), ids=lambda kind: kind.name)
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PostgresHome]:
    """The place of an empty store, of each PostgreSQL in turn."""
    place: PostgresHome = request.param(tmp_path)
    yield place
    await place.leave()


@pytest.fixture(scope="module", params=KINDS[:1], ids=lambda kind: kind.name)
def led(request: pytest.FixtureRequest) -> Iterator[PostgresHome]:
    """A closed store with rows in every table; of orders 1 to 5, which ended, two are pruned."""
    home: PostgresHome = request.param(Path())
    asyncio.run(_lead(home))
    yield home
    asyncio.run(home.leave())


async def _lead(home: PostgresHome) -> None:
    """Leave order 6 scheduled, 7 in process, 9 to 12 queued, and 13, a VIP one, paused.

    A worker has ended the attempt of 6, and has 8 in process.
    """
    home.policy = Policy(counts_customers=True)
    store = await home.open()
    await place(store, *(new(request_id=str(number)) for number in range(1, 13)))
    takes = [Take(5), Take(1, Holder("w", 1)), Take(1), Take(1, Holder("w", 2))]
    leases = await _take(store, *takes)
    await settle(store, *leases[:4])
    await settle(store, leases[4], ending=FAILED)
    await prune(store, home.clock.now, limit=2)
    report = AttemptEnd(key_of(leases[5]), again(60 * SECOND))
    word = WorkerWord("w", "host:1", 4)
    await store.commit(Changes(work=Work(reports=[report], words=[word])))
    await place(store, new(vip=True, expire_time=home.clock.later(90)))
    await pause(store, Tier.REGULAR, by=BOSS)
    await pause(store, Tier.REGULAR, is_paused=False, by=BOSS)
    await pause(store, Tier.VIP)
    await home.close()


async def _take(store: Store, *takes: Take) -> list[Lease]:
    claim = ClaimNext(takes=takes, is_idle=True)
    return (await store.commit(Changes(claim_next=claim, attempt_limit=SECOND))).claimed_next


@pytest.fixture
def database(led: PostgresHome) -> Iterator[Database]:
    """A copy of that store."""
    name = "audited"
    template = led.url.rpartition("/")[2]
    led.cluster.run_sql(f"CREATE DATABASE {name} TEMPLATE {template}", database="postgres")
    yield Database(cluster=led.cluster, name=name)
    led.cluster.run_sql(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")


def test_a_sound_store_breaks_no_rule(database: Database) -> None:
    tables = database.run_sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'orderintake'"
    )
    for table in tables.splitlines():
        assert int(database.run_sql(f"SELECT count(*) FROM {table}")) > 0, table  # noqa: S608
    assert database.audit() == []


WITHOUT = """
DELETE FROM log WHERE sequence = {0};
DELETE FROM orders WHERE accept_sequence = {0};
DELETE FROM starts WHERE accept_sequence = {0};
DELETE FROM requests WHERE accept_sequence = {0}
"""
"""A completion with all that is left of its order."""
WAITS_TOO = """
DELETE FROM ready WHERE accept_sequence = 9;
INSERT INTO scheduled SELECT {0}, due_time, 1, 0 FROM scheduled;
UPDATE newest SET queued = '{{3,1}}', scheduled = '{{2,0}}'
"""
"""Another order waits, in the place of one that was queued."""

BREAKS: dict[str, tuple[set[str], str]] = {
    "the log has two names": ({COMMITS}, "INSERT INTO identity VALUES ('other')"),
    "the log has no name": ({COMMITS}, "DELETE FROM identity"),
    "there are two policies": ({COMMITS}, "INSERT INTO policy SELECT * FROM policy"),
    "there is no policy": ({COMMITS}, "DELETE FROM policy"),
    "there is no commit": ({COMMITS, COUNTS}, "DELETE FROM commits"),
    "a commit is missing": (
        {"each commit goes on from the one before"},
        "DELETE FROM commits WHERE number = 3",
    ),
    "a commit went back": (
        {"each commit goes on from the one before"},
        "UPDATE commits SET started = started + 1 WHERE number = 3",
    ),
    "an order was accepted by a commit before the last": (
        {"what is numbered in order was made by commits in that order"},
        "UPDATE orders SET commit_number = 1 WHERE accept_sequence = 12",
    ),
    "an order started by a commit before the last": (
        {"what is numbered in order was made by commits in that order"},
        "UPDATE starts SET commit_number = 1 WHERE accept_sequence = 8",
    ),
    "an order ended by a commit before the last": (
        {"what is numbered in order was made by commits in that order"},
        "UPDATE log SET commit_number = 1 WHERE sequence = 5",
    ),
    "a tier was paused by a commit before the last": (
        {"what is numbered in order was made by commits in that order"},
        "UPDATE pauses SET commit_number = 1 WHERE number = 3",
    ),
    "an order is of no commit at all": (
        {"what is numbered in order was made by commits in that order"},
        "UPDATE orders SET commit_number = -1 WHERE accept_sequence = 3",
    ),
    "an order of a commit to come": (
        {"no commit is newer than the newest"},
        "UPDATE orders SET commit_number = 99 WHERE accept_sequence = 13",
    ),
    "a start of a commit to come": (
        {"no commit is newer than the newest"},
        "UPDATE starts SET commit_number = 99 WHERE accept_sequence = 8",
    ),
    "a completion of a commit to come": (
        {"no commit is newer than the newest"},
        "UPDATE log SET commit_number = 99 WHERE sequence = 5",
    ),
    "a pause of a commit to come": (
        {"no commit is newer than the newest"},
        "UPDATE pauses SET commit_number = 99 WHERE number = 3",
    ),
    "a completion is missing": ({"completion sequences have no hole"}, WITHOUT.format(4)),
    "the last completion is missing": (
        {"the log begins after what was pruned and ends at its counter"},
        WITHOUT.format(5),
    ),
    "the first completion is missing": (
        {"the log begins after what was pruned and ends at its counter"},
        WITHOUT.format(3),
    ),
    "all completions are missing": (
        {"the log begins after what was pruned and ends at its counter"},
        ";".join(map(WITHOUT.format, [3, 4, 5])),
    ),
    "a queued order was lost": (
        {PLACES, COUNTS, CUSTOMERS},
        "DELETE FROM ready WHERE accept_sequence = 9",
    ),
    "an ended order waits": ({PLACES}, WAITS_TOO.format(3)),
    "an order runs and waits": ({PLACES}, WAITS_TOO.format(7)),
    "an order is queued and scheduled": ({PLACES}, WAITS_TOO.format(10)),
    "an order that waits is missing": (
        {ORDERS, COUNTS, CUSTOMERS},
        "DELETE FROM orders WHERE accept_sequence = 9; DELETE FROM requests WHERE request_id = '9'",
    ),
    "an ended order is missing": (
        {ORDERS},
        "DELETE FROM orders WHERE accept_sequence = 5; DELETE FROM requests WHERE request_id = '5'",
    ),
    "fewer are queued than the commit tells": (
        {COUNTS},
        "UPDATE newest SET queued = '{3,1}', scheduled = '{2,0}'",
    ),
    "more are in process than the commit tells": (
        {COUNTS},
        "UPDATE newest SET processing = '{1,0}', scheduled = '{2,0}'",
    ),
    "they are of another tier than the commit tells": (
        {COUNTS},
        "UPDATE newest SET queued = '{3,2}', accepted_total = '{11,2}'",
    ),
    "more came than are there": (
        {"what was accepted and not completed is there"},
        "UPDATE newest SET accepted_total = '{13,1}'",
    ),
    "more ended than are missing": (
        {"what was accepted and not completed is there"},
        "UPDATE newest SET completed_total = '{5,1}'",
    ),
    "more were accepted than are there": (
        {"what was accepted and not completed is there"},
        "UPDATE newest SET accepted = accepted + 1",
    ),
    "an order has a number that was not given": (
        {"accept sequences were all given"},
        """UPDATE orders SET accept_sequence = 99, rank = 99 WHERE accept_sequence = 13;
        UPDATE ready SET accept_sequence = 99, rank = 99 WHERE accept_sequence = 13;
        UPDATE expiries SET accept_sequence = 99""",
    ),
    "two orders have the same start": (
        {"a number of a start is given once"},
        "INSERT INTO starts SELECT 9, 8, start_time, commit_number FROM starts LIMIT 1",
    ),
    "an ended order's start is missing": (
        {"what ended or runs has its start"},
        "UPDATE log SET start_sequence = 4 WHERE sequence = 5",
    ),
    "a running order's start is missing": (
        {"what ended or runs has its start"},
        "DELETE FROM starts WHERE accept_sequence = 8",
    ),
    "a start has a number that was not given": (
        {"start sequences were all given"},
        """UPDATE starts SET start_sequence = 99 WHERE accept_sequence = 8;
        UPDATE leases SET start_sequence = 99 WHERE accept_sequence = 8""",
    ),
    "an order started when its time was over": (
        {"no order starts after its time is over"},
        """UPDATE orders SET expire_time = (SELECT start_time FROM starts WHERE accept_sequence = 8)
        WHERE accept_sequence = 8""",
    ),
    "nobody knows whose leases they are": (
        {"what runs is leased by a session that is known"},
        "DELETE FROM sessions",
    ),
    "an order waits in another's place": (
        {"an order's place in the queue is its own"},
        "UPDATE ready SET rank = rank + 5 WHERE accept_sequence = 12",
    ),
    "an order waits in another tier": (
        {"an order's place in the queue is its own"},
        "UPDATE ready SET tier = 2 WHERE accept_sequence = 12",
    ),
    "an order that is queued has another rank": (
        {"ranks follow the policy"},
        """UPDATE orders SET rank = rank + 5 WHERE accept_sequence = 12;
        UPDATE ready SET rank = rank + 5 WHERE accept_sequence = 12""",
    ),
    "an order that is scheduled has another rank": (
        {"ranks follow the policy"},
        "UPDATE orders SET rank = rank - 1 WHERE accept_sequence = 6",
    ),
    "an order in process has another rank": (
        {"ranks follow the policy"},
        "UPDATE orders SET rank = rank - 1 WHERE accept_sequence = 8",
    ),
    "the policy is another": (
        {"ranks follow the policy"},
        "UPDATE policy SET vip_head_start = 1000000",
    ),
    "the queue begins behind an order": (
        {"no order is ready below the low-water mark of its tier"},
        "UPDATE newest SET low_water_mark[1] = (SELECT max(rank) FROM ready)",
    ),
    "a tier is paused that was resumed": (
        {"tiers are paused as was noted last"},
        "UPDATE newest SET paused = '{t,t}'",
    ),
    "a tier is paused and nobody did it": (
        {"tiers are paused as was noted last", PAUSED},
        "DELETE FROM pauses",
    ),
    "what is due is looked for behind an order": (
        {"no order falls due or expires before the low-water mark of such times"},
        "UPDATE newest SET due_low_water_mark = next_due + 1",
    ),
    "what expires is looked for behind an order": (
        {"no order falls due or expires before the low-water mark of such times"},
        """UPDATE newest SET next_due = due_low_water_mark - 1;
        INSERT INTO expiries SELECT next_due, 8 FROM newest""",
    ),
    "nobody looks for what falls due": (
        {"the next time to look is not too late"},
        "UPDATE newest SET next_due = NULL",
    ),
    "what falls due is looked for too late": (
        {"the next time to look is not too late"},
        "UPDATE newest SET next_due = next_due + 1",
    ),
    "what expires is looked for too late": (
        {"the next time to look is not too late"},
        "INSERT INTO expiries SELECT next_due - 1, 8 FROM newest",
    ),
    "nobody lets a queued order expire": (
        {"what waits and can expire is looked after"},
        "DELETE FROM expiries",
    ),
    "a scheduled order expires at another time": (
        {"what waits and can expire is looked after"},
        """INSERT INTO expiries SELECT expire_time + 1, 6 FROM expiries;
        UPDATE orders SET expire_time = accept_time + 3600000000 WHERE accept_sequence = 6""",
    ),
    "more orders wait than are counted": (
        {CUSTOMERS},
        "UPDATE customers SET waiting = waiting - 1",
    ),
    "a customer is not counted": ({CUSTOMERS}, "DELETE FROM customers"),
    "a customer is counted of whom nothing waits": (
        {CUSTOMERS},
        "INSERT INTO customers VALUES ('eve', 1)",
    ),
    "an order was accepted before an earlier one": (
        {"accept times never go back"},
        "UPDATE orders SET accept_time = accept_time - 1 WHERE accept_sequence = 12",
    ),
    "an order is to be accepted before an earlier one": (
        {"accept times never go back"},
        "UPDATE commits SET accept_time = 0",
    ),
    "a request_id names another's order": (
        {REQUESTS, NAMED},
        "UPDATE requests SET customer_id = 'bob' WHERE request_id = '9'",
    ),
    "a request_id names no order": (
        {REQUESTS},
        "UPDATE requests SET outcome = 0 WHERE request_id = '1'",
    ),
    "a request_id names an order that knows of none": (
        {REQUESTS},
        "UPDATE orders SET request_id = NULL WHERE accept_sequence = 9",
    ),
    "a request_id names an order that knows another": (
        {REQUESTS, NAMED},
        "UPDATE requests SET accept_sequence = 10 WHERE request_id = '9'",
    ),
    "an order's request_id is not known": (
        {NAMED},
        "DELETE FROM requests WHERE request_id = '9'",
    ),
    "an order's request_id is that of a pruned one": (
        {NAMED},
        "UPDATE requests SET outcome = 4 WHERE request_id = '9'",
    ),
    "a failed order has no failure's code": (
        {"a failed order has a failure, and no other has"},
        "UPDATE log SET failure_code = NULL WHERE outcome = 5",
    ),
    "a failed order has no failure's message": (
        {"a failed order has a failure, and no other has"},
        "UPDATE log SET failure_message = NULL WHERE outcome = 5",
    ),
    "an order succeeded with a failure": (
        {"a failed order has a failure, and no other has"},
        "UPDATE log SET failure_code = 'E' WHERE outcome = 4",
    ),
    "an ended order has not ended": (
        {"a failed order has a failure, and no other has"},
        "UPDATE log SET outcome = 1 WHERE sequence = 3",
    ),
    "orders started in another order": (
        {ORDER_OF_STARTS},
        """UPDATE starts SET start_sequence = 9 - start_sequence;
        UPDATE leases SET start_sequence = 9 - start_sequence;
        UPDATE ends SET start_sequence = 9 - start_sequence;
        UPDATE log SET start_sequence = 9 - start_sequence""",
    ),
    "a completion of another customer's": (
        {"the log tells whose order each completion ended"},
        "UPDATE log SET customer_id = 'eve'",
    ),
    "a completion of another tier": (
        {"the log tells whose order each completion ended"},
        "UPDATE log SET tier = 3 - tier",
    ),
    "a failed order names a copy that is of another one": (
        {"a redriven order tells of its copy"},
        "UPDATE log SET copy = 9 WHERE accept_sequence = 5",
    ),
    "an order that was redriven is still to be redriven": (
        {"a redriven order tells of its copy"},
        "UPDATE orders SET redrive_of = 5 WHERE accept_sequence = 13",
    ),
    "an operator's action is missing": (
        {"what operators did is numbered without a hole"},
        "DELETE FROM operator_actions WHERE sequence = 1",
    ),
    "an operator's action by a commit before the last": (
        {"what is numbered in order was made by commits in that order", PAUSED},
        "UPDATE operator_actions SET commit_number = 1 WHERE sequence = 2",
    ),
    "an operator's action of a commit to come": (
        {"no commit is newer than the newest", PAUSED},
        "UPDATE operator_actions SET commit_number = 99 WHERE sequence = 2",
    ),
    "an operator paused a tier that was not paused": (
        {PAUSED},
        "UPDATE operator_actions SET tier = 2 WHERE sequence = 1",
    ),
    "an operator resumed a tier that was paused then": (
        {PAUSED},
        "UPDATE operator_actions SET action = 2 WHERE sequence = 1",
    ),
    "an operator's copy is of another order": (
        {"an operator's copy is one of the order that was redriven"},
        """UPDATE operator_actions SET action = 3, tier = 0, accept_sequence = 5,
          detail = '{"copy": 9}' WHERE sequence = 1""",
    ),
    "what an operator cancelled is queued": (
        {"what an operator cancelled does not wait"},
        "UPDATE operator_actions SET action = 4, tier = 0, accept_sequence = 9",
    ),
    "what an operator cancelled is scheduled": (
        {"what an operator cancelled does not wait"},
        "UPDATE operator_actions SET action = 4, tier = 0, accept_sequence = 6",
    ),
    "nobody knows the worker that has an order": (
        {LENT},
        "UPDATE leases SET worker = 99 WHERE worker > 0",
    ),
    "a worker has ended that has an order": (
        {LENT, SLOTS},
        "UPDATE workers SET ended_at = 1",
    ),
    "a worker's order is a session's too": (
        {LENT},
        "UPDATE leases SET session_id = 1 WHERE worker > 0",
    ),
    "an order that is to be run alone is not": (
        {"a worker that has an order to run alone has no other"},
        "UPDATE leases SET worker = 1, session_id = 0, is_alone = accept_sequence = 7",
    ),
    "an order in process has crashed before its first attempt": (
        {CRASHES},
        "UPDATE leases SET crash_count = 1",
    ),
    "an order that is queued has crashed and was never tried": (
        {CRASHES},
        "UPDATE ready SET crash_count = 1",
    ),
    "an order that is scheduled has crashed more often than it was tried": (
        {CRASHES},
        "UPDATE scheduled SET crash_count = 2",
    ),
    "an attempt was noted that never began": (
        {NOTED},
        "UPDATE ends SET start_sequence = 99",
    ),
    "an attempt was noted that is under way": (
        {NOTED},
        "UPDATE ends SET start_sequence = 8",
    ),
    "an attempt was noted that is in the log": (
        {NOTED},
        "UPDATE ends SET start_sequence = 5",
    ),
    "nobody looks whether an attempt has to be over": (
        {DEADLINE},
        "UPDATE newest SET next_deadline = NULL",
    ),
    "it is looked too late whether an attempt has to be over": (
        {DEADLINE},
        "UPDATE newest SET next_deadline = next_deadline + 1",
    ),
    "a slot is counted that no worker has": (
        {SLOTS},
        "UPDATE newest SET capacity = 5",
    ),
}


@pytest.mark.parametrize(("rules", "script"), BREAKS.values(), ids=BREAKS.keys())
def test_what_breaks_a_rule_is_named_and_nothing_else(
    database: Database, rules: set[str], script: str
) -> None:
    database.run_sql(script)
    assert database.broken() == rules


def test_every_rule_is_seen_broken() -> None:
    assert set().union(*(rules for rules, _ in BREAKS.values())) == {*RULES, ORDER_OF_STARTS}


def test_a_finding_counts_all_and_shows_a_few(database: Database) -> None:
    database.run_sql("UPDATE requests SET outcome = 4; DELETE FROM requests WHERE request_id = '3'")
    (finding,) = database.audit()
    assert finding.count == 10
    assert len(finding.examples) == SHOWN
    assert {"order 3, request_id 3", "order 4, request_id 4"} & {*finding.examples}


def test_where_customers_are_not_counted_their_counts_say_nothing(database: Database) -> None:
    database.run_sql(
        "UPDATE customers SET waiting = 99; UPDATE policy SET counts_customers = false"
    )
    assert database.audit() == []


def test_of_what_was_copied_from_another_store_the_order_of_starts_is_not_told(
    database: Database,
) -> None:
    database.run_sql("""
        UPDATE starts SET start_sequence = 9 - start_sequence, commit_number = 0;
        UPDATE leases SET start_sequence = 9 - start_sequence;
        UPDATE ends SET start_sequence = 9 - start_sequence;
        UPDATE log SET start_sequence = 9 - start_sequence, commit_number = 0;
        UPDATE orders SET commit_number = 0;
        UPDATE pauses SET commit_number = 0;
        UPDATE operator_actions SET commit_number = 0;
        UPDATE policy SET since = 13""")
    assert database.audit() == []


@pytest.mark.seconds
@pytest.mark.parametrize("head_start", [None, 5 * SECOND])
async def test_after_a_long_run_no_rule_is_broken(
    home: PostgresHome, head_start: int | None
) -> None:
    home.policy = Policy(
        ranking=Ranking(vip_head_start=head_start), max_crashes=2, counts_customers=True
    )
    store = await home.open()
    chance = random.Random(head_start)
    for turn in range(60):
        await mix(home, store, chance)
        lent = Take(chance.randrange(4), Holder(f"w{turn % 3}", turn))
        leases = await _take(store, lent, Take(chance.randrange(12)))
        await settle(store, *leases[:3])
        if turn % 5 == 0:
            work = Work(ends=["w0"]) if turn % 2 else Work(deaths=["w1", "w2"])
            await store.commit(Changes(work=work))
        if turn % 7 == 0:
            await prune(store, home.clock.later(-30), limit=20)
            await pause(store, Tier.VIP, is_paused=chance.random() < 0.5)
        if turn % 10 == 0:
            store = await home.crash()
        if turn % 20 == 0:
            assert await _findings(home) == []
    await home.close()
    assert await _findings(home) == []


async def test_a_store_in_use_can_be_audited_and_goes_on(home: PostgresHome) -> None:
    store = await home.open()
    await place(store, new())
    assert await _findings(home) == []
    await place(store, new())
    assert await _findings(home) == []


async def test_where_there_is_no_database_there_is_nothing_to_audit(home: PostgresHome) -> None:
    with pytest.raises(StartupFailed, match=r'cannot read the store: .*"nowhere" does not exist'):
        await audit(home.cluster.url("nowhere"))


async def test_where_no_server_answers_there_is_nothing_to_audit() -> None:
    with pytest.raises(StartupFailed, match="cannot read the store: PostgreSQL cannot be reached"):
        await audit("postgresql://somebody@127.0.0.1:1/orders")


async def test_in_an_empty_database_there_is_nothing_to_audit(home: PostgresHome) -> None:
    with pytest.raises(StartupFailed, match="there is no store in this database yet"):
        await audit(home.cluster.url("postgres"))


def test_a_store_without_its_tables_cannot_be_read(database: Database) -> None:
    database.run_sql("DROP TABLE customers")
    with pytest.raises(StartupFailed, match=r"cannot read the store: .*customers"):
        database.audit()


def test_another_schema_is_refused(database: Database) -> None:
    database.run_sql("INSERT INTO steps (number, least, checksum) VALUES (99, 99, '')")
    with pytest.raises(StartupFailed, match="the store is of schema 99"):
        database.audit()


async def _findings(home: PostgresHome) -> list[Finding]:
    return await asyncio.to_thread(home.findings)
