"""Whether a PostgreSQL store keeps its promises: a query for each rule finds what breaks it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed, StoreError
from orderintake_server.store.audit import SHOWN, Finding, FirstStarts, Pause, WaitSpan
from orderintake_server.store.blame.postgres import failures
from orderintake_server.store.postgres import connector, schema
from orderintake_server.store.postgres.functions import this_release
from orderintake_server.store.postgres.rules import workers

if TYPE_CHECKING:
    import asyncpg

    from orderintake_server.store.postgres.functions import Release

    Connection = asyncpg.Connection[asyncpg.Record]

QUERY_SECONDS = 86_400.0
"""For one query, which goes through whole tables."""
PAGE_ROWS = 5_000
"""Rows of a long answer that are fetched, and held, together."""


async def audit(address: str) -> list[Finding]:
    """Check the store in this database, which servers may be using; an empty list is a clean one.

    Raises StartupFailed when it cannot be read, or there is no store of this version's schema.
    """
    release = await asyncio.to_thread(this_release)
    try:
        connection = await connector.connect(address)
        try:
            return await _findings(connection, release)
        finally:
            connection.terminate()
    except StoreError as error:
        raise StartupFailed(f"cannot read the store: {error}") from error


async def _findings(connection: Connection, release: Release) -> list[Finding]:
    """Check all rules at one moment, whatever is committed meanwhile."""
    with failures():
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await schema.check(connection)
            await connection.execute(f"SET LOCAL search_path = {release.search_path}")
            await connection.execute(_WHOLE_TABLES)
            return [*await _broken_rules(connection), *await _overtaken(connection)]


async def _broken_rules(connection: Connection) -> list[Finding]:
    findings = []
    for rule, query in RULES.items():
        rows = await connection.fetch(_BROKEN % query, SHOWN, timeout=QUERY_SECONDS)
        if rows:
            examples = tuple(example for example, _ in rows)
            findings.append(Finding(rule=rule, count=rows[0][1], examples=examples))
    return findings


async def _overtaken(connection: Connection) -> list[Finding]:
    """Find orders that started while a more urgent one waited."""
    pauses = await connection.fetch(_PAUSES)
    starts = FirstStarts(Pause(*row) for row in pauses)
    async for row in connection.cursor(_STEPS, prefetch=PAGE_ROWS, timeout=QUERY_SECONDS):
        *wait, is_start = row
        starts.see(WaitSpan(*wait), is_start=is_start)
    return starts.findings()


_WHOLE_TABLES = "SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off"
"""The rules compare whole tables. After many orders in a short time the planner still takes these
for small, and would go through one again for each row of another, or for each of a customer's."""
_BROKEN = """
WITH newest AS (SELECT * FROM commits ORDER BY number DESC LIMIT 1),
policy AS (SELECT * FROM orderintake.policy LIMIT 1),
waits AS (
  SELECT 'queued' AS place, accept_sequence FROM ready
  UNION ALL SELECT 'scheduled', accept_sequence FROM scheduled),
lives AS (
  SELECT * FROM waits UNION ALL SELECT 'processing', accept_sequence FROM leases),
places AS (
  SELECT * FROM lives UNION ALL SELECT 'ended', accept_sequence FROM log),
times AS (
  SELECT accept_sequence, due_time AS time FROM scheduled
  UNION ALL SELECT accept_sequence, expire_time FROM expiries),
made AS (
  SELECT 'order' AS kind, accept_sequence AS sequence, commit_number FROM orders
  UNION ALL SELECT 'start', start_sequence, commit_number FROM starts
  UNION ALL SELECT 'completion', sequence, commit_number FROM log
  UNION ALL SELECT 'pause', number, commit_number FROM pauses
  UNION ALL SELECT 'action', sequence, commit_number FROM operator_actions),
tiers (tier) AS (VALUES (1), (2)),
broken (example) AS (%s)
SELECT example, count(*) OVER () FROM broken LIMIT $1
"""

RULES: dict[str, str] = {
    "there are one name, one policy and a newest commit": """
        SELECT format('%s names, %s policies, %s commits', names, policies, commits) FROM (
          SELECT (SELECT count(*) FROM identity) AS names,
            (SELECT count(*) FROM orderintake.policy) AS policies,
            (SELECT count(*) FROM commits) AS commits) AS there
        WHERE names <> 1 OR policies <> 1 OR commits = 0""",
    "each commit goes on from the one before": """
        SELECT format('commit %s after %s', number, before) FROM (
          SELECT number, lag(number) OVER w AS before,
            least(accepted - lag(accepted) OVER w, started - lag(started) OVER w,
              completed - lag(completed) OVER w, earliest - lag(earliest) OVER w,
              accept_time - lag(accept_time) OVER w, cancels - lag(cancels) OVER w) AS growth
          FROM commits WINDOW w AS (ORDER BY number)) AS commits
        WHERE number <> before + 1 OR growth < 0""",
    "what is numbered in order was made by commits in that order": """
        SELECT format('%s %s of commit %s after %s', kind, sequence, commit_number, before) FROM (
          SELECT *, lag(commit_number, 1, 0::bigint) OVER (PARTITION BY kind ORDER BY sequence)
            AS before
          FROM made) AS made
        WHERE commit_number < before""",
    "no commit is newer than the newest": """
        SELECT format('%s %s of commit %s', kind, sequence, commit_number) FROM made
        WHERE commit_number > (SELECT number FROM newest)""",
    "completion sequences have no hole": """
        SELECT format('hole after %s', sequence) FROM (
          SELECT sequence, lead(sequence) OVER (ORDER BY sequence) AS next FROM log) AS log
        WHERE next <> sequence + 1""",
    "the log begins after what was pruned and ends at its counter": """
        SELECT format('log %s to %s, pruned %s, counter %s', first, last, earliest, completed)
        FROM newest, (SELECT min(sequence) AS first, max(sequence) AS last FROM log) AS log
        WHERE coalesce(first, earliest + 1) <> earliest + 1
          OR coalesce(last, earliest) <> completed""",
    "every order is in exactly one place": """
        SELECT format('order %s, %s', accept_sequence,
          coalesce(string_agg(place, ' and ' ORDER BY place), 'nowhere'))
        FROM orders LEFT JOIN places USING (accept_sequence)
        GROUP BY accept_sequence HAVING count(place) <> 1""",
    "nothing stands for an order that is not there": """
        SELECT format('%s, order %s', place, p.accept_sequence) FROM places p
        WHERE NOT EXISTS (SELECT FROM orders o WHERE o.accept_sequence = p.accept_sequence)""",
    "as many orders stand in each place as the newest commit tells": """
        SELECT format('tier %s: %s are %s, of %s', tier, coalesce(there.orders, 0), place,
          told.orders)
        FROM (
          SELECT place, tier, orders[tier] AS orders FROM newest
          CROSS JOIN LATERAL (VALUES ('queued', queued), ('scheduled', scheduled),
            ('processing', processing)) AS told (place, orders)
          CROSS JOIN tiers) AS told
        FULL JOIN (
          SELECT place, tier, count(*) AS orders FROM lives JOIN orders USING (accept_sequence)
          GROUP BY place, tier) AS there USING (place, tier)
        WHERE coalesce(there.orders, 0) IS DISTINCT FROM told.orders""",
    "what was accepted and not completed is there": """
        SELECT format('tier %s: %s accepted, %s completed, %s are there', tier,
          accepted_total[tier], completed_total[tier],
          queued[tier] + scheduled[tier] + processing[tier])
        FROM newest, tiers
        WHERE accepted_total[tier] - completed_total[tier]
          <> queued[tier] + scheduled[tier] + processing[tier]
        UNION ALL
        SELECT format('%s accepted, %s completed, %s are there', accepted, completed, there)
        FROM newest, LATERAL (
          SELECT sum(orders) AS there FROM unnest(queued || scheduled || processing) AS orders) AS u
        WHERE accepted - completed <> there""",
    "accept sequences were all given": """
        SELECT format('order %s, counter %s', accept_sequence, accepted) FROM orders, newest
        WHERE accept_sequence > accepted OR accept_sequence < 1""",
    "a number of a start is given once": """
        SELECT format('start %s, orders %s', start_sequence,
          string_agg(accept_sequence::text, ' and ' ORDER BY accept_sequence))
        FROM starts GROUP BY start_sequence HAVING count(*) > 1""",
    "what ended or runs has its start": """
        SELECT format('order %s, start %s', accept_sequence, start_sequence) FROM (
          SELECT accept_sequence, start_sequence FROM log WHERE start_sequence > 0
          UNION ALL SELECT accept_sequence, start_sequence FROM leases) AS begun
        LEFT JOIN starts s USING (accept_sequence, start_sequence) WHERE s.start_time IS NULL""",
    "start sequences were all given": """
        SELECT format('start %s, counter %s', start_sequence, started) FROM starts, newest
        WHERE start_sequence > started OR start_sequence < 1""",
    "no order starts after its time is over": """
        SELECT format('order %s, start %s', accept_sequence, start_sequence)
        FROM starts JOIN orders USING (accept_sequence)
        WHERE expire_time > 0 AND start_time >= expire_time""",
    "what runs is leased by a session that is known": """
        SELECT format('order %s, session %s', accept_sequence, session_id)
        FROM leases LEFT JOIN sessions USING (session_id) WHERE worker = 0 AND replica IS NULL""",
    "an order's place in the queue is its own": """
        SELECT format('order %s', accept_sequence)
        FROM ready r JOIN orders o USING (accept_sequence)
        WHERE r.rank <> o.rank OR r.tier <> o.tier""",
    "ranks follow the policy": """
        SELECT format('order %s, rank %s', accept_sequence, rank)
        FROM policy, lives JOIN orders o USING (accept_sequence)
        WHERE rank <> rank_of(tier, accept_sequence, accept_time, vip_head_start)""",
    "no order is ready below the low-water mark of its tier": """
        SELECT format('order %s, rank %s, mark %s', accept_sequence, rank, low_water_mark[tier])
        FROM ready, newest WHERE rank < low_water_mark[tier]""",
    "tiers are paused as was noted last": """
        SELECT format('tier %s', tier) FROM newest CROSS JOIN tiers
        LEFT JOIN (
          SELECT DISTINCT ON (tier) tier, is_paused FROM pauses ORDER BY tier, number DESC) AS last
          USING (tier)
        WHERE paused[tier] <> coalesce(is_paused, false)""",
    "no order falls due or expires before the low-water mark of such times": """
        SELECT format('order %s, time %s, mark %s', accept_sequence, time, mark)
        FROM times, (SELECT due_low_water_mark AS mark FROM newest) AS newest
        WHERE time < mark""",
    "the next time to look is not too late": """
        SELECT format('the soonest is %s, the next %s', soonest, next_due)
        FROM newest, (SELECT min(time) AS soonest FROM times) AS times
        WHERE coalesce(next_due > soonest, soonest IS NOT NULL)""",
    "what waits and can expire is looked after": """
        SELECT format('order %s', accept_sequence) FROM waits JOIN orders o USING (accept_sequence)
        LEFT JOIN expiries x USING (accept_sequence, expire_time)
        WHERE o.expire_time > 0 AND x.expire_time IS NULL""",
    "the orders of each customer that wait are counted": """
        SELECT format('customer %s: %s wait, of %s', customer_id, coalesce(orders, 0),
          coalesce(waiting, 0))
        FROM customers FULL JOIN (
          SELECT customer_id, count(*) AS orders FROM waits JOIN orders USING (accept_sequence)
          GROUP BY customer_id) AS there USING (customer_id)
        WHERE (SELECT counts_customers FROM policy)
          AND coalesce(orders, 0) <> coalesce(waiting, 0)""",
    "accept times never go back": """
        SELECT format('order %s', accept_sequence) FROM (
          SELECT accept_sequence, accept_time,
            lead(accept_time, 1, (SELECT accept_time FROM newest))
              OVER (ORDER BY accept_sequence) AS next
          FROM orders) AS orders
        WHERE accept_time > next""",
    "a request_id names an order of its customer": """
        SELECT format('request_id %s, order %s', q.request_id, accept_sequence)
        FROM requests q LEFT JOIN orders o USING (accept_sequence)
        WHERE q.outcome = 0 AND (o.customer_id IS DISTINCT FROM q.customer_id
          OR o.request_id IS DISTINCT FROM q.request_id)""",
    "an order's request_id names it": """
        SELECT format('order %s, request_id %s', o.accept_sequence, o.request_id)
        FROM orders o LEFT JOIN requests q USING (accept_sequence, customer_id, request_id)
        WHERE o.request_id IS NOT NULL AND (q.outcome = 0) IS NOT TRUE""",
    "the log tells whose order each completion ended": """
        SELECT format('completion %s', sequence) FROM log g JOIN orders o USING (accept_sequence)
        WHERE g.customer_id <> o.customer_id OR g.tier <> o.tier""",
    "a failed order has a failure, and no other has": """
        SELECT format('completion %s', sequence) FROM log
        WHERE outcome NOT IN (state_succeeded(), state_failed(), state_cancelled(), state_expired())
          OR (outcome = state_failed()) <> (failure_code IS NOT NULL)
          OR (outcome = state_failed()) <> (failure_message IS NOT NULL)""",
    "a redriven order tells of its copy": """
        SELECT format('order %s, copy %s', g.accept_sequence, copy)
        FROM log g LEFT JOIN orders o ON o.accept_sequence = copy
        WHERE copy > 0 AND o.redrive_of IS DISTINCT FROM g.accept_sequence
        UNION ALL
        SELECT format('order %s, copy %s', g.accept_sequence, o.accept_sequence)
        FROM orders o JOIN log g ON g.accept_sequence = o.redrive_of
        WHERE o.redrive_of > 0 AND copy = 0 AND o.commit_number > g.commit_number""",
    "what operators did is numbered without a hole": """
        SELECT format('action %s after %s', sequence, before) FROM (
          SELECT sequence, lag(sequence, 1, 0::bigint) OVER (ORDER BY sequence) AS before
          FROM operator_actions) AS actions
        WHERE sequence <> before + 1""",
    "a tier that an operator paused or resumed was so then": """
        SELECT format('action %s', a.sequence) FROM operator_actions a
        WHERE a.action IN (action_pause_tier(), action_resume_tier()) AND NOT EXISTS (
          SELECT FROM pauses p WHERE p.tier = a.tier AND p.time = a.time
            AND p.commit_number = a.commit_number
            AND p.is_paused = (a.action = action_pause_tier()))""",
    "an operator's copy is one of the order that was redriven": """
        SELECT format('action %s, order %s', a.sequence, o.accept_sequence)
        FROM operator_actions a
        JOIN orders o ON o.accept_sequence = (a.detail::jsonb ->> 'copy')::bigint
        WHERE a.action = action_redrive_order() AND o.redrive_of <> a.accept_sequence""",
    "what an operator cancelled does not wait": """
        SELECT format('action %s, order %s', sequence, accept_sequence) FROM operator_actions
        JOIN waits USING (accept_sequence) WHERE action = action_cancel_order()""",
    **workers.RULES,
}
"""What must be true of a store, each with the query that finds what breaks it."""

_PAUSES = "SELECT commit_number, tier, is_paused FROM pauses ORDER BY number"
_STEPS = """
WITH waits AS (
  SELECT o.rank, o.accept_sequence, o.tier, coalesce(s.start_sequence, 0) AS start_sequence,
    coalesce(s.commit_number, 0) AS started, coalesce(g.commit_number, 0) AS ended,
    o.commit_number AS accepted
  FROM orders o
  LEFT JOIN (
    SELECT DISTINCT ON (accept_sequence) * FROM starts
    ORDER BY accept_sequence, start_sequence) AS s USING (accept_sequence)
  LEFT JOIN log g USING (accept_sequence)
  WHERE accept_sequence > (SELECT since FROM policy LIMIT 1) AND o.not_before = 0)
SELECT rank, accept_sequence, tier, start_sequence, started, ended, is_start FROM (
  SELECT *, false AS is_start, accepted AS moment FROM waits
  UNION ALL
  SELECT *, true, max(started) OVER (ORDER BY start_sequence) FROM waits
  WHERE start_sequence > 0) AS steps
ORDER BY moment, is_start DESC, start_sequence
"""
"""What FirstStarts sees; its moments are the numbers of commits."""
