"""What all replicas have to agree on: how orders are ranked, and whether customers are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed
from orderintake_server.store.blame.postgres import failures
from orderintake_server.store.postgres.connector import COMMIT_LOCK

if TYPE_CHECKING:
    from orderintake_server.store.base import Policy
    from orderintake_server.store.postgres.connector import Connection
    from orderintake_server.store.postgres.functions import Release

_LOCK = f"""
SELECT set_config('idle_in_transaction_session_timeout', '5s', true);
SELECT pg_advisory_xact_lock({COMMIT_LOCK})
"""
"""A replica that is frozen while it holds the lock loses it."""
_POLICY = "SELECT vip_head_start, counts_customers FROM orderintake.policy"
_ALIVE = """
SELECT string_agg(format('%L', replica), ', ') FROM orderintake.sessions
WHERE expires_at > clock_timestamp()
"""

_WAITING = """
  SELECT accept_sequence FROM orderintake.ready
  UNION ALL SELECT accept_sequence FROM orderintake.scheduled
"""
_RERANK_ORDERS = f"""
UPDATE orderintake.orders SET rank = {{}}.rank_of(tier, accept_sequence, accept_time, $1)
WHERE accept_sequence IN ({_WAITING} UNION ALL SELECT accept_sequence FROM orderintake.leases)
"""
_RERANK_READY = """
UPDATE orderintake.ready r SET rank = o.rank FROM orderintake.orders o
WHERE o.accept_sequence = r.accept_sequence
"""
_FROM_NOW_ON = """
UPDATE orderintake.policy SET vip_head_start = $1, since = newest.accepted
FROM (SELECT accepted FROM orderintake.commits ORDER BY number DESC LIMIT 1) AS newest
"""
_NO_LOW_WATER_MARK = """
INSERT INTO orderintake.commits SELECT number + 1, time, NULL, NULL, accepted, started, completed,
  earliest, accept_time, queued, scheduled, processing, accepted_total,
  completed_total, paused, cancels, next_due, '{0,0}', due_low_water_mark, leapt, next_deadline,
  news, capacity
FROM orderintake.commits ORDER BY number DESC LIMIT 1
"""
_COUNT = f"""
INSERT INTO orderintake.customers SELECT customer_id, count(*) FROM orderintake.orders
WHERE accept_sequence IN ({_WAITING}) GROUP BY customer_id
"""


async def adopt(connection: Connection, policy: Policy, release: Release) -> None:
    """Go by this policy from now on; to be called in the transaction that registers a replica.

    Nothing else changes until that ends, so every replica alive goes by what was adopted last.
    Raises StartupFailed when replicas that are alive go by another policy.
    """
    wanted = policy.ranking.vip_head_start, policy.counts_customers
    with failures():
        await connection.execute(_LOCK)
        ((head_start, counts),) = await connection.fetch(_POLICY)
        if (head_start, counts) == wanted:
            return
        if alive := await connection.fetchval(_ALIVE):
            raise StartupFailed(
                "vip_head_start, and whether there is a customer_queue_limit, must be the same for "
                f"all replicas; others are running: {alive}"
            )
        if head_start != wanted[0]:
            await _rerank(connection, wanted[0], release)
        if counts != wanted[1]:
            await _count(connection, is_wanted=wanted[1])


async def _rerank(connection: Connection, head_start: int | None, release: Release) -> None:
    """Give the orders that have not ended their ranks anew."""
    await connection.execute(_RERANK_ORDERS.format(release.schema), head_start)
    await connection.execute(_RERANK_READY)
    await connection.execute(_FROM_NOW_ON, head_start)
    await connection.execute(_NO_LOW_WATER_MARK)


async def _count(connection: Connection, *, is_wanted: bool) -> None:
    await connection.execute("DELETE FROM orderintake.customers")
    if is_wanted:
        await connection.execute(_COUNT)
    await connection.execute("UPDATE orderintake.policy SET counts_customers = $1", is_wanted)
