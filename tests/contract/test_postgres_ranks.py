"""The rank of an order, in SQL as in Python."""

from collections.abc import AsyncIterator
from itertools import product
from typing import TYPE_CHECKING

import asyncpg
import pytest

from orderintake_server.domain import Ranking, Tier
from orderintake_server.store.postgres.functions import this_release
from support.postgres_home import PostgresHome

if TYPE_CHECKING:
    from orderintake_server.store.postgres.connector import Connection

RELEASE = this_release()
HEAD_STARTS = (None, 0, 1, 30_000_000, 3_155_760_000_000_000)
SEQUENCES = (1, 2, 1_000_003, 2**31 - 1, 2**31, 2**56 - 1)
TIMES = (0, 1, 2**31, 1_764_000_000_000_000, 2**61)
CASES = list(product(Tier, SEQUENCES, TIMES, HEAD_STARTS))

_RANKS = """
SELECT {}.rank_of(tier, number, time, head_start)
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[])
  AS t (tier, number, time, head_start)
"""


@pytest.fixture
async def connection(postgres_home: PostgresHome) -> "AsyncIterator[Connection]":
    """A connection to a store, on each PostgreSQL in turn."""
    await postgres_home.open()
    connected = await asyncpg.connect(postgres_home.url)
    yield connected
    await connected.close()


async def test_p6_the_database_ranks_orders_as_the_domain_does(connection: "Connection") -> None:
    rows = await connection.fetch(
        _RANKS.format(RELEASE.schema),
        *zip(*CASES, strict=True),
    )
    expected = [
        Ranking(vip_head_start=head_start).rank(tier, number, time)
        for tier, number, time, head_start in CASES
    ]
    assert [rank for (rank,) in rows] == expected
