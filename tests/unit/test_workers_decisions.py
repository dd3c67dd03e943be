"""P11: what a failed attempt leads to: another one, when, or the end; and which attempts count."""

import asyncio
import itertools
import random
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from orderintake_server.dispatch.attempts import StopSignal
from orderintake_server.dispatch.retries import RetryPolicy
from orderintake_server.domain import Completion, Event, Failure, Lease, State
from orderintake_server.handlers import OrderAttempt, Reject, Retry
from orderintake_server.store.changes import Changes
from orderintake_server.telemetry import configure_log
from support.changes import new, order, whole_log
from support.desk import Desk, working
from support.faulty import FaultyStore
from support.hands import FOREVER, Hand, Handler, at_work, called

AT_ONCE = RetryPolicy(max_attempts=3, first_seconds=0.0)
LATER = RetryPolicy(max_attempts=3, first_seconds=60.0)


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work."""
    async with working(Desk(store)) as desk:
        yield desk


def raising(*errors: BaseException | None) -> Handler:
    """Make a handler that raises one after the other; None: it succeeds."""
    following = itertools.chain(errors, itertools.repeat(None))

    async def handler(lease: Lease, signal: StopSignal) -> None:
        error = next(following)
        if error is not None:
            raise error

    return handler


async def waits_for_its_time(desk: Desk) -> None:
    """Return when the order, in process as yet, waits for its next attempt."""
    while (await order(desk.store, 1)).state is not State.SCHEDULED:
        await desk.place()


async def the_end(desk: Desk, handler: Handler, retries: RetryPolicy) -> Completion:
    """Let a worker process one order; tell how it ended."""
    async with at_work(desk, handler, retries=retries):
        await desk.place(new())
        await desk.completions.head_beyond(0)
    (end,) = await whole_log(desk.store)
    return end


def retries_in(store: FaultyStore) -> list[int]:
    """Tell after how many microseconds attempts were asked for so far."""
    begun: list[Changes] = [store.begun.get_nowait() for _ in range(store.begun.qsize())]
    settles = [settle for changes in begun for settle in changes.settles]
    return [s.ending.retry_after for s in settles if s.ending.event is Event.RETRY]


async def test_p11_what_fails_is_tried_again_until_it_succeeds(desk: Desk) -> None:
    end = await the_end(desk, raising(OSError("oven"), OSError("oven")), AT_ONCE)
    assert (end.order.state, end.order.attempt_count) == (State.SUCCEEDED, 3)
    assert end.failure is None


async def test_p11_after_the_last_attempt_it_has_failed_by_the_last_error(desk: Desk) -> None:
    end = await the_end(desk, raising(*[OSError(f"oven {n}") for n in (1, 2, 3)]), AT_ONCE)
    assert (end.order.state, end.order.attempt_count) == (State.FAILED, 3)
    assert end.failure == Failure(code="HANDLER_ERROR", message="OSError: oven 3")


async def test_p11_a_rejected_order_is_not_tried_again(desk: Desk) -> None:
    end = await the_end(desk, raising(Reject("OUT_OF_STOCK", "no tea")), AT_ONCE)
    assert (end.order.state, end.order.attempt_count) == (State.FAILED, 1)
    assert end.failure == Failure(code="OUT_OF_STOCK", message="no tea")


async def test_p11_the_delay_is_random_up_to_the_policys(
    desk: Desk, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    async with at_work(desk, raising(OSError(), OSError()), retries=LATER):
        await desk.place(new())
        for attempt in (1, 2):
            while (await order(store, 1)).attempt_count < attempt:
                await desk.place()
            await waits_for_its_time(desk)
            desk.turn(FOREVER)
        await desk.completions.head_beyond(0)
    assert retries_in(store) == [30_000_000, 60_000_000]


async def test_p11_a_handler_may_say_when_to_try_again(desk: Desk, store: FaultyStore) -> None:
    async with at_work(desk, raising(Retry(after=90.5), Retry(after=0)), retries=AT_ONCE):
        await desk.place(new())
        await waits_for_its_time(desk)
        desk.turn(90)
        await desk.place()
        assert (await order(store, 1)).state is State.SCHEDULED
        desk.turn(1)
        await desk.completions.head_beyond(0)
    assert retries_in(store) == [90_500_000, 0]
    assert (await order(store, 1)).attempt_count == 3


async def test_p11_what_a_handler_asks_for_counts_as_an_attempt(desk: Desk) -> None:
    end = await the_end(desk, raising(*[Retry(after=0)] * 3), AT_ONCE)
    assert (end.order.state, end.order.attempt_count) == (State.FAILED, 3)
    assert end.failure is not None
    assert end.failure.code == "HANDLER_ERROR"
    assert "another attempt after 0 s" in end.failure.message


async def test_p11_the_last_retry_is_told_in_the_handlers_own_words(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_log(form="text", level="debug")  # to what is captured
    retries = [Retry(after=0, code="OVEN_COLD", text="the oven is cold")] * 3
    end = await the_end(desk, raising(*retries), AT_ONCE)
    assert end.failure == Failure(code="OVEN_COLD", message="the oven is cold")
    written = capsys.readouterr().err
    assert written.count("code=OVEN_COLD") == 3
    assert "Traceback" not in written


@pytest.mark.parametrize("after", [-0.1, float("inf"), float("nan"), 1e300])
def test_a_time_to_try_again_that_is_none_is_an_error_of_the_handler(after: float) -> None:
    with pytest.raises(ValueError, match="after"):
        Retry(after=after)


async def test_p10_attempts_that_died_with_the_process_are_not_the_handlers(desk: Desk) -> None:
    await desk.place(new())
    lease = await desk.start()
    assert lease.tries == 1
    fifth = replace(lease.order, attempt_count=5)
    assert Lease(order=fifth, crash_count=3).tries == 2


# An attempt that takes too long


async def test_an_attempt_that_takes_too_long_has_failed(desk: Desk) -> None:
    async with at_work(desk, Hand(), attempt_seconds=0.0):
        await desk.place(new())
        await desk.completions.head_beyond(0)
    (end,) = await whole_log(desk.store)
    assert end.failure == Failure(
        code="ATTEMPT_TIMEOUT", message="the attempt took longer than 0.0 s"
    )


async def test_an_attempt_that_took_too_long_is_tried_again(desk: Desk) -> None:
    async with at_work(desk, Hand(), attempt_seconds=0.0, retries=AT_ONCE):
        await desk.place(new())
        await desk.completions.head_beyond(0)
    (end,) = await whole_log(desk.store)
    assert end.order.attempt_count == 3


async def test_a_time_out_of_the_handlers_own_is_an_error_like_any_other(desk: Desk) -> None:
    end = await the_end(desk, raising(TimeoutError("the oven")), RetryPolicy(max_attempts=1))
    assert end.failure == Failure(code="HANDLER_ERROR", message="TimeoutError: the oven")


async def test_a_sync_handler_that_takes_too_long_has_failed_though_its_thread_goes_on(
    desk: Desk,
) -> None:
    goes_on = threading.Event()

    def slow(attempt: OrderAttempt) -> None:
        goes_on.wait(timeout=50)

    with called(slow, attempt_seconds=0.01) as handler:
        async with at_work(desk, handler):
            await desk.place(new(b""))
            await desk.completions.head_beyond(0)
        goes_on.set()
    (end,) = await whole_log(desk.store)
    assert end.failure is not None
    assert end.failure.code == "ATTEMPT_TIMEOUT"


async def test_the_worker_of_an_attempt_that_took_too_long_takes_the_next(desk: Desk) -> None:
    async def first_is_slow(lease: Lease, signal: StopSignal) -> None:
        if lease.order.accept_sequence == 1:
            await asyncio.sleep(FOREVER)

    async with at_work(desk, first_is_slow, attempt_seconds=0.01):
        await desk.place(new(), new())
        await desk.completions.head_beyond(1)
    states = [end.order.state for end in await whole_log(desk.store)]
    assert states == [State.FAILED, State.SUCCEEDED]


async def test_how_long_an_order_kept_its_worker_is_measured(desk: Desk) -> None:
    async def takes_three_seconds(lease: Lease, signal: StopSignal) -> None:
        desk.clock.turn(3)

    assert desk.times.wait(1) is None
    async with at_work(desk, takes_three_seconds):
        await desk.place(new(), new())
        await desk.completions.head_beyond(1)
    wait = desk.times.wait(2)
    assert wait is not None
    assert wait.mean == pytest.approx(6.0)
