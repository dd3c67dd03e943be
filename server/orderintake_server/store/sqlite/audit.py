"""The audit of a SQLite store: every rule is a query that finds what breaks it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from orderintake_server.domain import ENDED, Action, Ranking, State
from orderintake_server.errors import StartupFailed
from orderintake_server.store.audit import SHOWN, Finding, FirstStarts, Pause, WaitSpan
from orderintake_server.store.sqlite import database, schema
from orderintake_server.store.sqlite.unit_of_work import use_rank

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def audit(directory: Path) -> list[Finding]:
    """Check the store in `directory`, which a server may be using; return every broken rule.

    Raises StartupFailed when there is no store, or its schema is of another version.
    """
    path = directory / database.NAME
    if not path.is_file():
        raise StartupFailed(f"there is no store in {directory}")
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            schema.refuse_other_schema(connection, path)
            connection.execute("BEGIN")
            _use_the_stores_rank(connection)
            damage = list(_damage(connection))  # no other finding on a damaged file is reliable
            return damage or [*_broken_rules(connection), *_overtaken(connection)]
    except sqlite3.Error as error:
        raise StartupFailed(f"cannot read the store {path}: {error}") from error


def _use_the_stores_rank(connection: sqlite3.Connection) -> None:
    (head_start,) = connection.execute("SELECT vip_head_start FROM policy").fetchone()
    use_rank(connection, Ranking(vip_head_start=head_start))


def _damage(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Find the damage that SQLite itself reports of the file."""
    reports = [text for (text,) in connection.execute("PRAGMA integrity_check(100)")]
    if reports != ["ok"]:
        yield Finding(
            rule="the file is sound", count=len(reports), examples=tuple(map(str, reports[:SHOWN]))
        )


def _broken_rules(connection: sqlite3.Connection) -> Iterator[Finding]:
    for rule, query in RULES.items():
        rows = connection.execute(query).fetchall()
        if rows:
            examples = tuple(", ".join(map(str, row)) for row in rows[:SHOWN])
            yield Finding(rule=rule, count=len(rows), examples=examples)


_STATES = """
  SELECT accept_sequence, 'queued' AS state FROM ready
  UNION ALL SELECT accept_sequence, 'scheduled' FROM scheduled
  UNION ALL SELECT accept_sequence, 'processing' FROM leases
  UNION ALL SELECT accept_sequence, 'ended' FROM log
"""

RULES: dict[str, str] = {
    "completion sequences have no hole": """
        SELECT 'hole after ' || sequence FROM (
          SELECT sequence, lead(sequence) OVER (ORDER BY sequence) AS next FROM log)
        WHERE next <> sequence + 1""",
    "the log begins after what was pruned and ends at its counter": """
        SELECT 'log ' || coalesce(min(l.sequence), '-') || ' to ' || coalesce(max(l.sequence), '-'),
          'pruned ' || p.sequence, 'counter ' || c.completed
        FROM counters c, pruned p LEFT JOIN log l
        GROUP BY p.sequence, c.completed
        HAVING coalesce(min(l.sequence), p.sequence + 1) <> p.sequence + 1
          OR coalesce(max(l.sequence), p.sequence) <> c.completed""",
    "every order is in exactly one place": f"""
        SELECT 'order ' || o.accept_sequence, coalesce(group_concat(s.state, ' and '), 'nowhere')
        FROM orders o LEFT JOIN ({_STATES}) s ON s.accept_sequence = o.accept_sequence
        GROUP BY o.accept_sequence HAVING count(s.state) <> 1""",
    "nothing stands for an order that is not there": f"""
        SELECT state, 'order ' || accept_sequence FROM ({_STATES})
        WHERE accept_sequence NOT IN (SELECT accept_sequence FROM orders)""",
    "accept sequences were all given": """
        SELECT 'order ' || accept_sequence, 'counter ' || accepted FROM orders, counters
        WHERE accept_sequence > accepted OR accept_sequence < 1""",
    "a number of a start is given once": """
        SELECT 'start ' || start_sequence, 'orders ' || group_concat(accept_sequence, ' and ')
        FROM starts GROUP BY start_sequence HAVING count(*) > 1""",
    "what ended or runs has its start": """
        SELECT 'order ' || accept_sequence, 'start ' || start_sequence FROM (
          SELECT accept_sequence, start_sequence FROM log WHERE start_sequence > 0
          UNION ALL SELECT accept_sequence, start_sequence FROM leases)
        WHERE (accept_sequence, start_sequence) NOT IN (
          SELECT accept_sequence, start_sequence FROM starts)""",
    "start sequences were all given": """
        SELECT 'start ' || start_sequence, 'counter ' || started FROM starts, counters
        WHERE start_sequence > started OR start_sequence < 1""",
    "no order starts after its time is over": """
        SELECT 'order ' || s.accept_sequence, 'start ' || s.start_sequence FROM starts s
        JOIN orders o ON o.accept_sequence = s.accept_sequence
        WHERE o.expire_time > 0 AND s.start_time >= o.expire_time""",
    "an order's place in the queue is its own": """
        SELECT 'order ' || r.accept_sequence FROM ready r
        JOIN orders o ON o.accept_sequence = r.accept_sequence
        WHERE r.rank <> o.rank OR r.tier <> o.tier""",
    "ranks follow the policy": """
        SELECT 'order ' || o.accept_sequence, 'rank ' || o.rank FROM orders o
        WHERE o.accept_sequence IN (SELECT accept_sequence FROM ready)
          AND o.rank <> order_rank(o.tier, o.accept_sequence, o.accept_time)""",
    "accept times never go back": """
        SELECT 'order ' || accept_sequence FROM (
          SELECT accept_sequence, accept_time,
            lag(accept_time) OVER (ORDER BY accept_sequence) AS before FROM orders)
        WHERE accept_time < before""",
    "a request_id names an order of its customer": """
        SELECT 'request_id ' || q.request_id, 'order ' || q.accept_sequence FROM requests q
        LEFT JOIN orders o ON o.accept_sequence = q.accept_sequence
        WHERE q.outcome = 0 AND (o.customer_id IS NULL OR o.customer_id <> q.customer_id
          OR o.request_id IS NOT q.request_id)""",
    "the log tells whose order each completion ended": """
        SELECT 'completion ' || g.sequence FROM log g
        JOIN orders o ON o.accept_sequence = g.accept_sequence
        WHERE g.customer_id <> o.customer_id OR g.tier <> o.tier""",
    "a failed order has a failure, and no other has": f"""
        SELECT 'completion ' || sequence FROM log
        WHERE outcome NOT IN ({", ".join(f"{state:d}" for state in sorted(ENDED))})
          OR (outcome = {State.FAILED:d}) <> (failure_code IS NOT NULL)""",
    "a redriven order tells of its copy": """
        SELECT 'order ' || g.accept_sequence, 'copy ' || g.copy FROM log g
        LEFT JOIN orders o ON o.accept_sequence = g.copy
        WHERE g.copy > 0 AND o.redrive_of IS NOT g.accept_sequence
        UNION ALL
        SELECT 'order ' || g.accept_sequence, 'copy ' || o.accept_sequence
        FROM orders o JOIN log g ON g.accept_sequence = o.redrive_of
        WHERE o.redrive_of > 0 AND g.copy = 0
          AND o.request_id = char(31) || 'redrive ' || o.redrive_of""",
    "what operators did is numbered without a hole": """
        SELECT 'action ' || sequence, 'after ' || before FROM (
          SELECT sequence, lag(sequence, 1, 0) OVER (ORDER BY sequence) AS before
          FROM operator_actions)
        WHERE sequence <> before + 1""",
    "a tier that an operator paused or resumed was so then": f"""
        SELECT 'action ' || a.sequence FROM operator_actions a
        WHERE a.action IN ({Action.PAUSE_TIER:d}, {Action.RESUME_TIER:d}) AND NOT EXISTS (
          SELECT 1 FROM pauses p WHERE p.tier = a.tier AND p.time = a.time
            AND p.is_paused = (a.action = {Action.PAUSE_TIER:d}))""",
    "an operator's copy is one of the order that was redriven": f"""
        SELECT 'action ' || a.sequence, 'order ' || o.accept_sequence FROM operator_actions a
        JOIN orders o ON o.accept_sequence = json_extract(a.detail, '$.copy')
        WHERE a.action = {Action.REDRIVE_ORDER:d} AND o.redrive_of <> a.accept_sequence""",
    "what an operator cancelled does not wait": f"""
        SELECT 'action ' || sequence, 'order ' || accept_sequence FROM operator_actions
        WHERE action = {Action.CANCEL_ORDER:d} AND accept_sequence IN (
          SELECT accept_sequence FROM ready UNION ALL SELECT accept_sequence FROM scheduled)""",
    "who has a lease is this process, or a worker that is there": """
        SELECT 'order ' || accept_sequence, 'worker ' || worker FROM leases
        WHERE worker NOT IN (SELECT 0 UNION ALL SELECT number FROM workers WHERE ended_at = 0)""",
    "a worker that has an order to run alone has no other": """
        SELECT 'order ' || a.accept_sequence, 'order ' || b.accept_sequence FROM leases a
        JOIN leases b ON b.worker = a.worker AND b.accept_sequence <> a.accept_sequence
        WHERE a.worker > 0 AND a.is_alone""",
    "each crash is of another attempt that is over": """
        SELECT 'order ' || accept_sequence, 'crashes ' || crash_count FROM (
          SELECT accept_sequence, crash_count, attempt_count - 1 AS over FROM leases
          UNION ALL SELECT accept_sequence, crash_count, attempt_count FROM ready
          UNION ALL SELECT accept_sequence, crash_count, attempt_count FROM scheduled)
        WHERE crash_count > over""",
    "what a worker ended without a completion did start, and is over": """
        SELECT 'start ' || start_sequence FROM ends, counters WHERE start_sequence > started
          OR start_sequence IN (SELECT start_sequence FROM leases)
          OR start_sequence IN (SELECT start_sequence FROM log)""",
}
"""The rules of a store, each with the query that finds what breaks it."""


_FELL = "(SELECT coalesce(sum(microseconds), 0) FROM clock_falls WHERE {})"
_EVENTS = f"""
WITH waits AS (
  SELECT o.rank, o.accept_sequence, o.tier, coalesce(s.start_sequence, 0) AS start_sequence,
    coalesce(s.start_time + {_FELL.format("started < s.start_sequence")}, 0)
      AS started,
    coalesce(g.complete_time + {_FELL.format("completed < g.sequence")}, 0) AS ended,
    o.accept_time + {_FELL.format("accepted < o.accept_sequence")}
      AS accept_time
  FROM orders o
  LEFT JOIN starts s ON s.accept_sequence = o.accept_sequence AND s.start_sequence = (
    SELECT min(start_sequence) FROM starts WHERE accept_sequence = o.accept_sequence)
  LEFT JOIN log g ON g.accept_sequence = o.accept_sequence
  WHERE o.accept_sequence > (SELECT since FROM policy) AND o.not_before = 0)
SELECT rank, accept_sequence, tier, start_sequence, started, ended, is_start FROM (
  SELECT *, 0 AS is_start, accept_time AS time FROM waits
  UNION ALL
  SELECT *, 1, max(started) OVER (ORDER BY start_sequence) FROM waits WHERE start_sequence > 0)
ORDER BY time, is_start DESC, start_sequence
"""
"""The events that FirstStarts replays; a commit's time names the commit, once what the clock fell
before it is added."""
_PAUSES = f"""
SELECT time + {_FELL.format("pauses < p.rowid")},
  tier, is_paused
FROM pauses p ORDER BY p.rowid
"""


def _overtaken(connection: sqlite3.Connection) -> list[Finding]:
    """Find orders that started while a more urgent one waited."""
    pauses = connection.execute(_PAUSES)
    starts = FirstStarts(Pause(*row) for row in pauses)
    for *wait, is_start in connection.execute(_EVENTS):
        starts.see(WaitSpan(*wait), is_start=is_start)
    return starts.findings()
