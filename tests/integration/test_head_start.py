"""P7 under more VIP orders than can be processed: who overtakes a regular order, and who not."""

import asyncio
import random
from pathlib import Path

from orderintake_server.domain import Ending, Lease, NewOrder, QueueEntry, Ranking, Tier
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Capacity, Changes, Page, Settlement
from orderintake_server.store.sqlite.audit import audit
from orderintake_server.store.sqlite.store import sqlite_store
from support.clocks import Microseconds

SECOND = 1_000_000
HEAD_START = 30 * SECOND
ROOM = Capacity(total=10**9, regular=10**9)
FIRST = Page(after=QueueEntry(-1, 0, Tier.VIP, 0), limit=1)


def new(tier: Tier) -> NewOrder:
    return NewOrder(customer_id="ada", request_id=None, tier=tier, content=b"")


async def test_p7_no_regular_order_is_overtaken_by_a_vip_order_accepted_too_late(
    tmp_path: Path,
) -> None:
    """One worker takes a second an order; VIP orders come at 1.2 a second, regular at 0.1."""
    chance = random.Random(5)
    clock = Microseconds()
    started: list[Lease] = []
    policy = Policy(ranking=Ranking(vip_head_start=HEAD_START))
    async with sqlite_store(tmp_path, clock=clock, policy=policy) as store:
        settles: list[Settlement] = []
        for _ in range(400):
            clock.turn(1)
            arrivals = [new(Tier.VIP)] * (1 + (chance.random() < 0.2))
            arrivals += [new(Tier.REGULAR)] * (chance.random() < 0.1)
            await store.commit(Changes(accepts=[[o] for o in arrivals], capacity=ROOM))
            found = await store.commit(Changes(settles=settles, page=FIRST))
            (lease,) = (await store.commit(Changes(claims=found.page))).claimed
            assert lease is not None
            started.append(lease)
            settles = [Settlement(lease=lease, ending=Ending())]

    regular = [n for n, lease in enumerate(started) if lease.order.tier is Tier.REGULAR]
    assert len(regular) > 10
    for place in regular:
        order = started[place].order
        before = [lease.order for lease in started[:place]]
        assert all(o.accept_time <= order.accept_time + HEAD_START for o in before)
        late = [lease.order for lease in started[place:]]
        assert all(o.accept_time >= order.accept_time for o in late if o.tier is Tier.REGULAR)
    assert await asyncio.to_thread(audit, tmp_path) == []
