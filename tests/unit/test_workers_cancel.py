"""P13: how a running order is told to stop, and that its worker goes on whatever it makes of it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orderintake_server.dispatch.attempts import StopSignal
from orderintake_server.dispatch.retries import RetryPolicy
from orderintake_server.domain import CancelOutcome, Lease, Order, State
from orderintake_server.handlers import HandlerCalls, OrderAttempt, Reject
from orderintake_server.store.changes import Cancel
from support.changes import log_of, new, order, state
from support.desk import Desk, working
from support.faulty import FaultyStore
from support.hands import Hand, at_work, called


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work."""
    async with working(Desk(store)) as desk:
        yield desk


class Shop:
    """A shop's async handler: waits in each order until it is let go, or told to stop."""

    def __init__(self, *, on_stop: Exception | None = None, stops: bool = True) -> None:
        self.started: asyncio.Queue[OrderAttempt] = asyncio.Queue()
        self.let_go = asyncio.Event()
        self._on_stop = on_stop
        self._stops = stops

    async def __call__(self, attempt: OrderAttempt) -> None:
        self.started.put_nowait(attempt)
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            if self._on_stop:
                raise self._on_stop from None
            if self._stops:
                raise


def calls(handler: Any) -> HandlerCalls:  # noqa: ANN401 - whatever a shop writes
    return called(handler, slots=2)


PLAIN = new(b"")


async def ends(desk: Desk, count: int) -> list[tuple[int, State]]:
    """Wait until so many orders have ended; tell which, and how."""
    await desk.completions.head_beyond(count - 1)
    return await log_of(desk.store)


async def told_to_stop(desk: Desk, accept_sequence: int) -> None:
    """Cancel an order in process."""
    cancelled = await desk.committer.cancel(accept_sequence)
    assert cancelled is not None
    assert cancelled.outcome is CancelOutcome.CANCEL_REQUESTED


async def test_p13_an_async_handler_is_cancelled_and_so_is_its_order(desk: Desk) -> None:
    shop = Shop()
    with calls(shop) as handler:
        async with at_work(desk, handler):
            await desk.place(PLAIN)
            await shop.started.get()
            await told_to_stop(desk, 1)
            assert await ends(desk, 1) == [(1, State.CANCELLED)]


async def test_p13_a_sync_handler_is_told_and_may_raise(desk: Desk) -> None:
    started, goes_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def heeds(attempt: OrderAttempt) -> None:
        loop.call_soon_threadsafe(started.set)
        goes_on.wait(timeout=50)
        if attempt.cancel_requested:
            raise RuntimeError("as you wish")

    with calls(heeds) as handler:
        async with at_work(desk, handler, retries=RetryPolicy(max_attempts=9)):
            await desk.place(PLAIN)
            await started.wait()
            await told_to_stop(desk, 1)
            goes_on.set()
            assert await ends(desk, 1) == [(1, State.CANCELLED)]


async def test_p13_the_request_of_a_caller_who_left_reaches_the_handler(
    store: FaultyStore, desk: Desk
) -> None:
    hand = Hand()
    async with at_work(desk, hand):
        await desk.place(new())
        await hand.starts(1)
        store.hold()
        answer = desk.committer.cancel(1)
        answer.cancel()
        store.let_go()
        await desk.place()
        assert hand.signals[1].is_requested
        hand.let_go.set()


async def test_p13_a_request_before_the_worker_began_stops_it_at_once(
    store: FaultyStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop()
    begin = desk.attempts.begin

    def begin_and_stop(order: Order) -> StopSignal:
        signal = begin(order)
        signal.request()
        return signal

    monkeypatch.setattr(desk.attempts, "begin", begin_and_stop)
    with calls(shop) as handler:
        async with at_work(desk, handler):
            await desk.place(PLAIN)
            assert await ends(desk, 1) == [(1, State.FAILED)]  # the store knows of no request
    assert shop.started.qsize() == 1


@pytest.mark.parametrize(
    ("shop", "outcome"),
    [
        (Shop(), State.CANCELLED),
        (Shop(stops=False), State.SUCCEEDED),
        (Shop(on_stop=Reject("TOO_LATE", "the cake is baked")), State.CANCELLED),
        (Shop(on_stop=ValueError("no")), State.CANCELLED),
    ],
    ids=["it stops", "it goes on", "it rejects", "it fails"],
)
async def test_p13_whatever_a_handler_makes_of_it_its_worker_takes_the_next(
    desk: Desk, shop: Shop, outcome: State
) -> None:
    with calls(shop) as handler:
        async with at_work(desk, handler):
            await desk.place(*[PLAIN] * 4)
            for number in (1, 2, 3):
                await shop.started.get()
                await told_to_stop(desk, number)
            await shop.started.get()
            shop.let_go.set()
            assert await ends(desk, 4) == [
                (1, outcome),
                (2, outcome),
                (3, outcome),
                (4, State.SUCCEEDED),
            ]


async def test_p13_a_handler_that_goes_on_leaves_nothing_behind_for_the_next(desk: Desk) -> None:
    shop = Shop()

    async def goes_on_once(attempt: OrderAttempt) -> None:
        try:
            await shop(attempt)
        except asyncio.CancelledError:
            if not attempt.order_id.endswith("1"):
                raise

    with calls(goes_on_once) as handler:
        async with at_work(desk, handler):
            await desk.place(PLAIN, PLAIN, PLAIN)
            for number in (1, 2):
                await shop.started.get()
                await told_to_stop(desk, number)
            await shop.started.get()
            shop.let_go.set()
            assert await ends(desk, 3) == [
                (1, State.SUCCEEDED),
                (2, State.CANCELLED),
                (3, State.SUCCEEDED),
            ]


async def test_p13_a_request_to_an_attempt_that_just_ended_stops_nobody_else(
    store: FaultyStore, desk: Desk
) -> None:
    shop = Shop()
    with calls(shop) as handler:
        async with at_work(desk, handler):
            await desk.place(PLAIN)
            await shop.started.get()
            store.hold()
            while not store.begun.empty():
                store.begun.get_nowait()
            answer = desk.committer.cancel(1)
            assert (await store.begun.get()).cancels == [Cancel(1)]
            shop.let_go.set()
            for _ in range(5):  # the handler ends, its worker waits for the next order
                await asyncio.sleep(0)
            store.let_go()
            cancelled = await answer
            assert cancelled is not None
            assert cancelled.outcome is CancelOutcome.CANCEL_REQUESTED
            await desk.place(PLAIN, PLAIN)
            assert await ends(desk, 3) == [(number, State.SUCCEEDED) for number in (1, 2, 3)]


async def test_p19_an_order_told_to_stop_is_not_given_back_by_a_stop_of_the_service(
    desk: Desk,
) -> None:
    shop = Shop(stops=False)

    async def slow(attempt: OrderAttempt) -> None:
        await shop(attempt)
        await shop(attempt)  # it takes its time to tidy up

    with calls(slow) as handler:
        async with at_work(desk, handler) as workers:
            await desk.place(PLAIN)
            await shop.started.get()
            await told_to_stop(desk, 1)
            await shop.started.get()
            await workers.drain(0)
        await desk.place()
    assert await state(desk.store, 1) in (State.SUCCEEDED, State.CANCELLED)


async def test_p19_a_sync_handler_told_to_stop_ends_with_the_service(desk: Desk) -> None:
    started, goes_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def stubborn(attempt: OrderAttempt) -> None:
        loop.call_soon_threadsafe(started.set)
        goes_on.wait(timeout=50)

    with calls(stubborn) as handler:
        async with at_work(desk, handler, retries=RetryPolicy(max_attempts=9)) as workers:
            await desk.place(PLAIN)
            await started.wait()
            await told_to_stop(desk, 1)
            await workers.drain(0)
        await desk.place()
        goes_on.set()
    assert await state(desk.store, 1) is State.CANCELLED


async def test_p19_who_was_not_told_to_stop_waits_again_when_interrupted(desk: Desk) -> None:
    shop = Shop()
    with calls(shop) as handler:
        async with at_work(desk, handler, count=2) as workers:
            await desk.place(PLAIN, PLAIN)
            await shop.started.get()
            await shop.started.get()
            await told_to_stop(desk, 1)
            await ends(desk, 1)
            await workers.drain(0)
        await desk.place()
    assert await state(desk.store, 1) is State.CANCELLED
    waits = await order(desk.store, 2)
    assert (waits.state, waits.attempt_count) == (State.QUEUED, 0)


async def test_each_attempt_has_a_signal_of_its_own(desk: Desk) -> None:
    seen: list[StopSignal] = []

    async def handler(lease: Lease, signal: StopSignal) -> None:
        seen.append(signal)

    async with at_work(desk, handler):
        await desk.place(new(), new())
        await ends(desk, 2)
    assert len({id(signal) for signal in seen}) == 2
    assert not any(signal.is_requested for signal in seen)
