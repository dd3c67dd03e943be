"""Sync handlers: their time begins with their call, and one that hangs takes its thread only."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from orderintake.work import OrderAttempt, Retry
from orderintake.work import handlers as work_handlers
from orderintake.work.handlers import CallPolicy, HandlerCalls
from orderintake.work.outcome import Kind, Outcome
from orderintake.work.threads import HandlerThread
from support.hands import attempt_of

SHORT = 0.05


class Hangs:
    """A handler that hangs in each order until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.called: list[OrderAttempt] = []

    def __call__(self, order: OrderAttempt) -> None:
        self.called.append(order)
        self.let_go.wait(timeout=50)


@contextmanager
def calling(
    handler: Callable[[OrderAttempt], object], *, slots: int = 1, stuck: int = 0, seconds: float
) -> Iterator[HandlerCalls]:
    policy = CallPolicy(slots=slots, stuck=stuck, attempt_seconds=seconds, tells_text=True)
    with HandlerCalls(handler, policy) as calls:
        yield calls


async def one(calls: HandlerCalls) -> Outcome:
    await calls.room()
    return await calls(attempt_of())


async def none_stuck(calls: HandlerCalls) -> None:
    """Wait until every attempt has ended, late as it may be."""
    async with asyncio.timeout(50):
        while calls.figures.stuck_attempts:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


async def test_an_order_is_told_its_deadline() -> None:
    seen: list[OrderAttempt] = []
    with calling(seen.append, seconds=3600) as calls:
        await one(calls)
    (order,) = seen
    assert order.deadline is not None
    assert order.seconds_left is not None
    assert 3500 < order.seconds_left <= 3600
    assert attempt_of().seconds_left is None


async def test_no_order_fails_whose_handler_never_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is given late takes nothing of the time of its attempt."""
    run, slow = HandlerThread.run, threading.Event()

    def runs_late(self: HandlerThread, call: Callable[[], object]) -> asyncio.Future[object]:
        return run(self, lambda: (slow.wait(timeout=50), call())[1])

    monkeypatch.setattr(HandlerThread, "run", runs_late)
    called: list[OrderAttempt] = []
    with calling(called.append, seconds=SHORT) as calls:
        making = asyncio.create_task(one(calls))
        await asyncio.sleep(6 * SHORT)
        assert not making.done()
        slow.set()
        assert (await making).kind is Kind.SUCCEEDED
    assert len(called) == 1


async def test_a_thread_that_hangs_is_replaced_and_told(caplog: pytest.LogCaptureFixture) -> None:
    hangs = Hangs()
    with calling(hangs, stuck=2, seconds=SHORT) as calls:
        ends = [await one(calls) for _ in range(3)]
        assert [end.code for end in ends] == ["ATTEMPT_TIMEOUT"] * 3
        told = [record for record in caplog.records if "does not end" in record.message]
        assert [vars(record)["stuck"] for record in told] == [1, 2, 3]
        assert len({vars(record)["handler_thread"] for record in told}) == 3
        assert calls.figures.stuck_attempts == 3
        hangs.let_go.set()
        await none_stuck(calls)
    assert len(hangs.called) == 3


async def test_beyond_the_bound_orders_wait_until_a_thread_comes_back() -> None:
    hangs = Hangs()
    with calling(hangs, stuck=1, seconds=SHORT) as calls:
        for _ in range(2):
            await one(calls)
        waiting = asyncio.create_task(one(calls))
        await asyncio.sleep(2 * SHORT)
        assert not waiting.done()
        assert len(hangs.called) == 2
        hangs.let_go.set()
        assert (await waiting).kind is Kind.SUCCEEDED
    assert len(hangs.called) == 3


async def test_without_a_thread_orders_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    start, fails = threading.Thread.start, iter([True, True])

    def started(self: threading.Thread) -> None:
        if self.name.startswith("handler") and next(fails, False):
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", started)
    monkeypatch.setattr(work_handlers, "NO_THREAD_SECONDS", 0.01)
    with calling(lambda _: None, seconds=SHORT) as calls:
        assert (await one(calls)).kind is Kind.SUCCEEDED


@pytest.mark.seconds
async def test_as_many_as_there_are_slots_run_beside_those_that_hang() -> None:
    hangs, meet = Hangs(), threading.Barrier(3)

    def handler(order: OrderAttempt) -> None:
        if order.attempt == 1:
            hangs(order)
        else:
            meet.wait(timeout=50)

    with calling(handler, slots=3, stuck=3, seconds=10 * SHORT) as calls:

        async def attempts(number: int) -> list[Outcome]:
            outcomes = []
            for _ in range(3):
                await calls.room()
                outcomes.append(await calls(attempt_of(attempt=number)))
            return outcomes

        late = await asyncio.gather(*[attempts(1) for _ in range(1)])
        good = await asyncio.gather(*[attempts(2) for _ in range(3)])
        hangs.let_go.set()
    assert {end.code for ends in late for end in ends} == {"ATTEMPT_TIMEOUT"}
    assert {end.kind for ends in good for end in ends} == {Kind.SUCCEEDED}


def decorated(handler: Callable[[OrderAttempt], object]) -> Callable[[OrderAttempt], object]:
    """Decorate as people do who forget that a handler may be async."""

    def wrapper(order: OrderAttempt) -> object:
        return handler(order)

    return wrapper


async def waits(order: OrderAttempt) -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize("handler", [waits, decorated(waits)], ids=["plain", "decorated"])
async def test_p13_a_cancel_reaches_a_decorated_handler_too(
    handler: Callable[[OrderAttempt], object],
) -> None:
    with calling(handler, seconds=3600) as calls:
        order = attempt_of()
        await calls.room()
        making = asyncio.create_task(calls(order))
        await asyncio.sleep(SHORT)
        began = time.monotonic()
        order.signal.request()
        assert (await making).code == "CANCELLED"
        assert time.monotonic() - began < 1


async def test_a_decorated_handler_has_its_time_too() -> None:
    with calling(decorated(waits), seconds=SHORT) as calls:
        assert (await one(calls)).code == "ATTEMPT_TIMEOUT"


async def test_an_async_handler_that_does_not_heed_its_time_is_left_behind() -> None:
    let_go = asyncio.Event()

    async def stubborn(order: OrderAttempt) -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    policy = CallPolicy(attempt_seconds=SHORT, grace_seconds=SHORT)
    with HandlerCalls(stubborn, policy) as calls:
        assert (await one(calls)).code == "ATTEMPT_TIMEOUT"
        assert calls.figures.stuck_attempts == 1
        let_go.set()
        await none_stuck(calls)


async def test_what_is_done_when_its_time_is_over_is_done() -> None:
    async def heeds(order: OrderAttempt) -> None:
        try:
            await waits(order)
        except asyncio.CancelledError:
            return

    with calling(heeds, seconds=SHORT) as calls:
        assert (await one(calls)).kind is Kind.SUCCEEDED


async def test_a_retry_out_of_time_is_a_time_out() -> None:
    async def retries(order: OrderAttempt) -> None:
        try:
            await waits(order)
        except asyncio.CancelledError:
            raise Retry(after=1) from None

    with calling(retries, seconds=SHORT) as calls:
        assert (await one(calls)).code == "ATTEMPT_TIMEOUT"
