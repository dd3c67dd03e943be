"""What became of every start: written down by the store while it is used, judged at the end.

Each attempt has one fate: it ended its order, it is tried again, it was given back and does not
count, or its worker died. The counts that the order's next start shows must say the same.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple, Protocol

from orderintake import Completion, State
from orderintake_server.store.audit import Finding
from orderintake_server.store.postgres import audit as postgres_audit
from orderintake_server.store.sqlite import audit as sqlite_audit
from support.postgres import Cluster

WAIT_SECONDS = 30
_TABLES = """
CREATE TABLE seen_starts (
  accept bigint, start bigint, attempt bigint, crashes bigint, worker bigint
);
CREATE TABLE seen_ends (start bigint, state bigint);
CREATE TABLE seen_workers (number bigint, name text);
"""
_SEEN = {
    ("leases", "INSERT"): "INSERT INTO seen_starts VALUES (new.accept_sequence,"
    " new.start_sequence, new.attempt_count, new.crash_count, new.worker)",
    ("ends", "INSERT"): "INSERT INTO seen_ends VALUES (new.start_sequence, new.state)",
    ("workers", "INSERT"): "INSERT INTO seen_workers VALUES (new.number, new.name)",
    ("workers", "UPDATE"): "INSERT INTO seen_workers SELECT new.number, new.name"
    " WHERE new.name <> old.name",
}
"""What is written down when which table changes."""


class Store(Protocol):
    """A store under test, asked past its servers; all methods block."""

    def watch(self) -> None:
        """Let it write down every start, what ended it by a worker's word, and all workers."""

    def ask(self, query: str) -> list[tuple[str, ...]]:
        """Give the rows of a query; tables are named as in their schema."""

    def audit(self) -> list[Finding]:
        """Tell which rules it breaks."""


class SqliteStore:
    """One in a directory, on which no server runs yet when it is to be watched."""

    def __init__(self, data: Path) -> None:
        """Ask this one, which a server has made."""
        self._data = data

    def watch(self) -> None:
        """Write down what changes."""
        script = _TABLES + "".join(
            f"CREATE TRIGGER seen_{number} AFTER {how} ON {table} BEGIN {does}; END;\n"
            for number, ((table, how), does) in enumerate(_SEEN.items())
        )
        with closing(sqlite3.connect(self._data / "orders.db")) as connection:
            connection.executescript(script)

    def ask(self, query: str) -> list[tuple[str, ...]]:
        """Read from the file."""
        file = f"{(self._data / 'orders.db').absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(file, uri=True, timeout=WAIT_SECONDS)) as connection:
            return [tuple(map(str, row)) for row in connection.execute(query)]

    def audit(self) -> list[Finding]:
        """Run the audit of a directory."""
        return sqlite_audit.audit(self._data)


class PostgresStore:
    """One in the first database of a cluster."""

    def __init__(self, database: Cluster) -> None:
        """Ask this one, which is migrated."""
        self._database = database

    def watch(self) -> None:
        """Write down what changes."""
        script = "CREATE SCHEMA seen; SET search_path = seen;" + _TABLES
        script += "".join(
            f"CREATE FUNCTION seen_{number}() RETURNS trigger LANGUAGE plpgsql"
            f" SET search_path = seen AS $$ BEGIN {does}; RETURN NULL; END $$;\n"
            f"CREATE TRIGGER seen_{number} AFTER {how} ON orderintake.{table}"
            f" FOR EACH ROW EXECUTE FUNCTION seen_{number}();\n"
            for number, ((table, how), does) in enumerate(_SEEN.items())
        )
        self._database.run_sql(script)

    def ask(self, query: str) -> list[tuple[str, ...]]:
        """Ask by psql."""
        text = self._database.run_sql(f"SET search_path = seen, orderintake; {query}")
        return [tuple(line.split("|")) for line in text.splitlines()]

    def audit(self) -> list[Finding]:
        """Run the audit of a database."""
        import asyncio  # noqa: PLC0415 - it is called where no loop runs

        return asyncio.run(postgres_audit.audit(self._database.url()))


class Start(NamedTuple):
    """One attempt as it began: the counts that its order then had."""

    accept: int
    number: int
    attempt: int
    crashes: int
    worker: int


class Fate(Enum):
    """What became of one start."""

    ENDED = auto()
    RETRIED = auto()
    RETURNED = auto()
    CHARGED = auto()
    """Its worker died: it is a crash."""


@dataclass
class Fates:
    """What became of all starts."""

    of: dict[Fate, list[tuple[str, Start]]] = field(
        default_factory=lambda: {fate: [] for fate in Fate}
    )
    """The starts with this fate, each with its worker's name."""
    problems: list[str] = field(default_factory=list)
    """Where counts say something else."""


def fates(store: Store, completions: Iterable[Completion]) -> Fates:
    """Follow each order that has ended from start to start."""
    names = {number: name for number, name in store.ask("SELECT * FROM seen_workers") if name}
    ends = {int(start): int(state) for start, state in store.ask("SELECT * FROM seen_ends")}
    starts: dict[int, list[Start]] = defaultdict(list)
    for row in store.ask("SELECT * FROM seen_starts ORDER BY start"):
        start = Start(*map(int, row))
        starts[start.accept].append(start)
    found = Fates()
    for completion in completions:
        order, crashes, attempt = completion.order, 0, 1
        for start, fate in _lives(starts[order.accept_sequence], ends, completion):
            if (start.attempt, start.crashes) != (attempt, crashes):
                found.problems.append(f"{start}: attempt {attempt}, {crashes} crashes it must be")
            crashes += fate is Fate.CHARGED
            attempt += fate is not Fate.RETURNED
            found.of[fate].append((names.get(str(start.worker), ""), start))
        if order.attempt_count != attempt - 1:
            found.problems.append(f"{order.order_id}: {attempt - 1} attempts, it says otherwise")
    counted = store.ask("SELECT count(*), count(DISTINCT start_sequence) FROM starts")
    if counted != [(str(sum(map(len, starts.values()))),) * 2]:
        found.problems.append(f"{counted} starts in all, and others were leased")
    return found


def _lives(
    starts: list[Start], ends: dict[int, int], completion: Completion
) -> Iterator[tuple[Start, Fate]]:
    """Tell the fate of each start of an order that has ended."""
    order = completion.order
    attempts = [*(start.attempt for start in starts[1:]), order.attempt_count + 1]
    for start, next_attempt in zip(starts, attempts, strict=False):
        is_last = start.number == order.start_sequence
        if start.number in ends:
            is_returned = ends[start.number] == State.STATE_QUEUED
            yield start, Fate.RETURNED if is_returned else Fate.RETRIED
        elif is_last and completion.failure.code != "QUARANTINED":
            yield start, Fate.ENDED
        else:
            yield start, Fate.RETURNED if next_attempt == start.attempt else Fate.CHARGED
