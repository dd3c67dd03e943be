"""P19: how the workers stop: what runs may end, what does not waits again, nothing else begins."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf import any_pb2

from orderintake_server.dispatch.attempts import StopSignal
from orderintake_server.domain import Completion, Lease, State
from support.changes import new, order, waiting, whole_log
from support.desk import Desk, working
from support.faulty import FaultyStore
from support.hands import FOREVER, Hand, at_work

DONE = any_pb2.Any(type_url="t", value=b"just done").SerializeToString()


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work."""
    async with working(Desk(store)) as desk:
        yield desk


async def test_p19_what_runs_may_end_within_the_time(desk: Desk, store: FaultyStore) -> None:
    hand = Hand()
    async with at_work(desk, hand, count=2) as workers:
        await desk.place(*[new()] * 4)
        await hand.starts(2)
        draining = asyncio.create_task(workers.drain(FOREVER))
        await desk.place()
        assert not draining.done()
        hand.let_go.set()
        await draining
    await desk.place()
    assert [completion.order.state for completion in await whole_log(store)] == [
        State.SUCCEEDED
    ] * 2
    assert [place.accept_sequence for place in await waiting(store)] == [3, 4]
    assert hand.started.empty()


async def test_p19_what_does_not_end_in_time_waits_again_uncounted(
    desk: Desk, store: FaultyStore
) -> None:
    hand = Hand()
    async with at_work(desk, hand, count=2) as workers:
        await desk.place(new(), new(), new(vip=True))
        await hand.starts(2)
        await workers.drain(0)
    await desk.place()
    assert [place.accept_sequence for place in await waiting(store)] == [3, 1, 2]
    assert {(await order(store, number)).attempt_count for number in (1, 2, 3)} == {0}
    assert await whole_log(store) == []


async def test_p19_idle_workers_end_at_once(desk: Desk) -> None:
    async with at_work(desk, Hand(), count=8) as workers:
        await desk.place()
        await workers.drain(FOREVER)


async def test_p19_who_just_claimed_gives_back(desk: Desk, store: FaultyStore) -> None:
    hand = Hand()
    async with at_work(desk, hand) as workers:
        await desk.place()  # meanwhile the worker has asked
        store.hold()
        desk.committer.accept((new(),))  # the worker is free: the order starts by the same commit
        while not any((begun := await store.begun.get()).accepts):
            pass
        assert begun.claim_next
        draining = asyncio.create_task(workers.drain(FOREVER))
        await asyncio.sleep(0)
        store.let_go()
        await draining
    await desk.place()
    assert hand.started.empty()
    found = await order(store, 1)
    assert (found.state, found.attempt_count) == (State.QUEUED, 0)


async def test_p19_who_is_given_an_order_at_the_very_moment_of_the_stop_gives_it_back(
    desk: Desk, store: FaultyStore
) -> None:
    await desk.place(new())
    hand = Hand()
    store.hold()
    desk.committer.accept(())  # a commit during which the worker asks
    while not (await store.begun.get()).accepts:
        pass
    async with at_work(desk, hand) as workers:
        await asyncio.sleep(0)
        answer = desk.committer.accept(())  # told just before the worker is, by the same commit
        store.let_go()
        await answer
        await workers.drain(FOREVER)
    await desk.place()
    assert hand.started.empty()
    found = await order(store, 1)
    assert (found.state, found.attempt_count) == (State.QUEUED, 0)


async def test_p19_who_is_given_an_order_while_others_end_theirs_gives_it_back(
    desk: Desk, store: FaultyStore
) -> None:
    hand = Hand()
    async with at_work(desk, hand, count=2) as workers:
        await desk.place(new())
        await hand.starts(1)
        draining = asyncio.create_task(workers.drain(FOREVER))
        await asyncio.sleep(0)
        await desk.place(new())
        hand.let_go.set()
        await draining
    await desk.place()
    found = await order(store, 2)
    assert (found.state, found.attempt_count) == (State.QUEUED, 0)
    assert hand.started.empty()


async def test_p19_a_handler_may_tidy_up_when_interrupted(desk: Desk, store: FaultyStore) -> None:
    tidied = asyncio.Event()
    hand = Hand()

    async def handler(lease: Lease, signal: StopSignal) -> None:
        try:
            await hand(lease, signal)
        finally:
            await asyncio.sleep(0)
            tidied.set()

    async with at_work(desk, handler) as workers:
        await desk.place(new())
        await hand.starts(1)
        await workers.drain(0)
        assert tidied.is_set()
    await desk.place()
    assert len(await waiting(store)) == 1


async def test_a_handler_that_ends_its_work_when_interrupted_has_done_it(
    desk: Desk, store: FaultyStore
) -> None:
    hand = Hand()

    async def handler(lease: Lease, signal: StopSignal) -> bytes | None:
        try:
            return await hand(lease, signal)
        except asyncio.CancelledError:
            return DONE

    async with at_work(desk, handler) as workers:
        await desk.place(new())
        await hand.starts(1)
        await workers.drain(0)
    await desk.place()
    found = await store.find(1)
    assert isinstance(found, Completion)
    assert (found.failure, found.result) == (None, DONE)


async def test_p19_a_handler_that_does_not_end_when_interrupted_is_left_behind(
    desk: Desk, store: FaultyStore
) -> None:
    hand = Hand()
    is_over = asyncio.Event()

    async def handler(lease: Lease, signal: StopSignal) -> None:
        try:
            await hand(lease, signal)
        except asyncio.CancelledError:
            await is_over.wait()

    async with at_work(desk, handler, interrupt_seconds=0.0) as workers:
        await desk.place(new())
        await hand.starts(1)
        await workers.drain(0)
    await desk.place()
    found = await order(store, 1)
    assert (found.state, found.attempt_count) == (State.QUEUED, 0)
    is_over.set()
    await asyncio.sleep(0)
    assert await whole_log(store) == []
