"""The committer and workers in processes of their own: offers, reports, words, ends, deaths."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orderintake_server.domain import State
from orderintake_server.errors import StorageUnavailable
from orderintake_server.holders import Holder, LentLease, key_of
from orderintake_server.store.work import WorkerState, WorkerWord
from support.changes import DONE, FAILED, log_of, new, state
from support.desk import Desk, working
from support.faulty import FaultyStore
from support.work import ANN, BEN, calls, numbers


@pytest.fixture(params=[False, True], ids=["own", "shared"])
async def desk(store: FaultyStore, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """A committer at work, on a queue of its own and on one that it shares."""
    async with working(Desk(store, is_shared=request.param)) as desk:
        yield desk
        store.repair()
        store.let_go()


async def offer(desk: Desk, worker_id: str, slots: int = 1, call: int = 0) -> list[LentLease]:
    """Offer slots until they get something."""
    return await desk.committer.remote.offer(Holder(worker_id, call), slots)


async def test_w1_a_call_gets_at_once_what_its_slots_can_take_and_no_more(desk: Desk) -> None:
    await desk.place(new(), new(vip=True), new(), new())
    leases = await offer(desk, ANN, 3, call=7)
    assert numbers(leases) == [2, 1, 3]
    assert {lease.holder for lease in leases} == {calls(ANN, 7)}
    assert numbers(await offer(desk, BEN, 9)) == [4]


async def test_w1_who_waits_longest_gets_the_first_order_and_its_other_slots_are_free_again(
    desk: Desk,
) -> None:
    first, own = desk.committer.remote.offer(calls(ANN, 1), 2), desk.committer.next_order()
    await desk.place(new())
    assert numbers(await first) == [1]
    await desk.place(new())
    assert (await own).order.accept_sequence == 2
    second = desk.committer.remote.offer(calls(BEN, 1), 1)
    await desk.place(new())
    assert numbers(await second) == [3]


async def test_w1_a_slot_takes_the_most_urgent_order_wherever_it_frees(desk: Desk) -> None:
    await desk.place(*(new() for _ in range(3)))
    (running,) = await offer(desk, ANN)
    await desk.place(new(vip=True))
    reported = desk.committer.remote.report(key_of(running), DONE)
    leases = await offer(desk, ANN)
    assert numbers(leases) == [4]
    assert await reported is State.SUCCEEDED
    assert (await desk.start()).order.accept_sequence == 2


async def test_what_a_call_reports_is_answered_with_what_it_gets(desk: Desk) -> None:
    await desk.place(new(), new())
    (running,) = await offer(desk, ANN)
    remote = desk.committer.remote
    reported, offered = remote.report(key_of(running), DONE), remote.offer(calls(ANN, 2), 1)
    assert await reported is State.SUCCEEDED
    assert offered.done()
    assert numbers(await offered) == [2]


async def test_w4_what_nobody_waits_for_any_more_waits_again_uncounted(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(), new())
    store.hold()
    offered = desk.committer.remote.offer(calls(ANN, 1), 2)
    await asyncio.sleep(0)
    await store.begun.get()
    while store.begun.qsize():
        store.begun.get_nowait()
    offered.cancel()
    store.let_go()
    leases = await offer(desk, BEN, 2)
    while len(leases) < 2:
        leases += await offer(desk, BEN, 2)
    assert {lease.order.attempt_count for lease in leases} == {1}


async def test_w3_a_report_is_counted_once_and_answered_again(desk: Desk) -> None:
    await desk.place(new())
    (lease,) = await offer(desk, ANN)
    recorded: list[object] = []
    desk.committer.remote.on_recorded = lambda report, state: recorded.append((report.key, state))
    for _ in range(2):
        assert await desk.committer.remote.report(key_of(lease), DONE) is State.SUCCEEDED
    assert await desk.committer.remote.report(key_of(lease), FAILED) is None
    assert recorded == [(key_of(lease), State.SUCCEEDED)]


async def test_w7_who_stops_or_ends_is_given_nothing_and_its_calls_end(desk: Desk) -> None:
    remote = desk.committer.remote
    waiting = remote.offer(calls(ANN, 1), 4)
    assert await remote.word(WorkerWord(ANN, is_stopping=True)) is WorkerState.STOPS
    await desk.place(new(), new())
    assert await waiting == []
    assert await offer(desk, ANN, 4, call=2) == []
    (lease,) = await offer(desk, BEN)
    (taken,) = await remote.end(BEN)
    assert taken == (key_of(lease), State.QUEUED)
    assert await offer(desk, BEN) == []
    assert [number.attempt_count for number in [(await desk.start()).order]] == [1]


async def test_w6_who_died_may_come_back_and_what_it_had_has_a_crash(desk: Desk) -> None:
    await desk.place(new(), new())
    lease, other = await offer(desk, ANN, 2)
    heard: list[str] = []
    desk.committer.remote.on_news = heard.extend
    taken = await desk.committer.remote.bury(ANN)
    assert [state for _, state in taken] == [State.QUEUED, State.QUEUED]
    assert heard == [ANN]
    assert await desk.committer.remote.report(key_of(lease), DONE) is None
    again = await offer(desk, ANN, 2)
    assert [lease.crash_count for lease in again] == [1, 1]
    assert other.order.accept_sequence in numbers(again)


async def test_w7_who_ended_is_given_nothing_though_its_late_calls_fall_silent(
    desk: Desk,
) -> None:
    await desk.place(new())
    await desk.committer.remote.end(ANN)
    assert await desk.committer.remote.bury(ANN) == []
    assert await offer(desk, ANN, call=2) == []


async def test_w6_who_could_not_be_buried_is_given_orders_as_before(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    store.fill()
    with pytest.raises(StorageUnavailable):
        await desk.committer.remote.bury(ANN)
    store.repair()
    assert numbers(await offer(desk, ANN)) == [1]


async def test_w6_a_suspect_is_alone_at_its_worker_and_nobody_passes_it(store: FaultyStore) -> None:
    async with working(Desk(store, max_crashes=2)) as desk:
        await desk.place(new(), new())
        await offer(desk, ANN, 2)
        await desk.committer.remote.bury(ANN)
        (suspect,) = await offer(desk, ANN, 2, call=2)
        waiting = desk.committer.remote.offer(calls(ANN, 3), 2)
        await desk.place(new(vip=True))
        assert not waiting.done()
        leases = await offer(desk, BEN, 2)
        assert numbers(leases) == [3]  # not order 2: BEN would not be alone with it
        await desk.committer.remote.report(key_of(suspect), DONE)
        assert numbers(await waiting) == [2]


async def test_p13_a_worker_hears_of_a_cancel(desk: Desk) -> None:
    await desk.place(new())
    (lease,) = await offer(desk, ANN)
    heard: list[str] = []
    desk.committer.remote.on_news = heard.extend
    await desk.committer.cancel(1)
    assert heard == [ANN]
    assert await desk.committer.remote.report(key_of(lease), None) is State.CANCELLED


async def test_a_full_disk_refuses_what_is_said_and_nothing_of_it_is_kept(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    (lease,) = await offer(desk, ANN)
    store.fill()
    with pytest.raises(StorageUnavailable):
        await desk.committer.remote.report(key_of(lease), DONE)
    store.repair()
    assert await state(store, 1) is State.PROCESSING
    assert await desk.committer.remote.report(key_of(lease), DONE) is State.SUCCEEDED
    assert await log_of(store) == [(1, State.SUCCEEDED)]


async def test_w12_what_is_asked_after_the_last_commit_is_refused_at_once(
    store: FaultyStore,
) -> None:
    async with working(Desk(store)) as desk:
        await desk.place(new())
        (lease,) = await offer(desk, ANN)
    with pytest.raises(StorageUnavailable):
        desk.committer.remote.report(key_of(lease), DONE)
    with pytest.raises(StorageUnavailable):
        desk.committer.cancel(1)
