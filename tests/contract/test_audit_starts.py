"""P6, P7: a start before a more urgent order is found in what a store keeps; a right one is not."""

import asyncio

from orderintake_server.domain import Ranking, Tier
from orderintake_server.store.audit import ORDER_OF_STARTS, Finding
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Changes
from support.changes import (
    AMPLE,
    cancel,
    claim,
    new,
    pause,
    place,
    queue,
    settle,
    start,
    waiting,
)
from support.clocks import SECOND
from support.stores import Home


async def test_a_regular_order_before_a_waiting_vip_order_is_found(home: Home) -> None:
    store = await home.open()
    await place(store, new(vip=True), new(), new())
    places = await waiting(store)
    await claim(store, places[1])
    assert await _findings(home) == [
        Finding(rule=ORDER_OF_STARTS, count=1, examples=("order 2 before order 1",))
    ]


async def test_an_order_before_an_earlier_one_of_its_tier_is_found(home: Home) -> None:
    store = await home.open()
    await place(store, *(new() for _ in range(8)))
    for place_in_queue in reversed(await waiting(store)):
        await claim(store, place_in_queue)
    (finding,) = await _findings(home)
    assert (finding.rule, finding.count) == (ORDER_OF_STARTS, 7)


async def test_one_commit_that_starts_them_in_the_wrong_order_is_found(home: Home) -> None:
    store = await home.open()
    await place(store, new(), new(vip=True))
    await claim(store, *reversed(await waiting(store)))
    assert len(await _findings(home)) == 1


async def test_with_a_head_start_the_vip_order_that_came_too_late_must_wait(
    home: Home,
) -> None:
    home.policy = Policy(ranking=Ranking(vip_head_start=20 * SECOND))
    store = await home.open()
    await place(store, new())
    home.clock.turn(30)
    await place(store, new(vip=True))
    await claim(store, (await waiting(store))[1])
    assert [finding.rule for finding in await _findings(home)] == [ORDER_OF_STARTS]


async def test_an_order_that_came_with_the_start_did_not_wait_for_it(home: Home) -> None:
    store = await home.open()
    await place(store, new())
    places = await waiting(store)
    await store.commit(Changes(accepts=[[new(vip=True)]], capacity=AMPLE, claims=places))
    assert await _findings(home) == []


async def test_what_had_ended_did_not_wait(home: Home) -> None:
    store = await home.open()
    await place(store, new(vip=True), new(vip=True, expire_time=home.clock.later(1)), new())
    await cancel(store, 1)
    home.clock.turn(2)
    await start(store)
    assert await _findings(home) == []


async def test_what_was_paused_did_not_wait(home: Home) -> None:
    store = await home.open()
    await place(store, new(vip=True), new(), new())
    await pause(store, Tier.VIP)
    await start(store)
    assert await _findings(home) == []
    await pause(store, Tier.VIP, is_paused=False)
    await claim(store, (await waiting(store))[1])
    assert [finding.examples for finding in await _findings(home)] == [("order 3 before order 1",)]


async def test_across_a_change_of_policy_nothing_is_said_of_starts(home: Home) -> None:
    store = await home.open()
    await place(store, new(), new())
    home.clock.turn(60)
    await place(store, new(vip=True))
    await settle(store, *await start(store))
    aged = await home.reopen(Policy(ranking=Ranking(vip_head_start=20 * SECOND)))
    await start(aged)
    assert await queue(aged) == [2]
    assert await _findings(home) == []


async def _findings(home: Home) -> list[Finding]:
    return await asyncio.to_thread(home.findings)
