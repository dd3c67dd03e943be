"""The limit of many waits: each may take its time, and one timer watches all of them."""

import asyncio
import time

import pytest

from orderintake_server.calls.waits import WaitLimit

SHORT = 0.05


async def value(of: object) -> object:
    return of


async def times_out(limit: WaitLimit) -> float:
    """Wait for what never comes; tell how long it took until that was over."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await limit.wait(asyncio.Event().wait())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    return time.monotonic() - began


async def test_what_comes_in_time_is_given_and_its_task_is_left_alone() -> None:
    limit = WaitLimit(SHORT)
    assert await limit.wait(value("tea")) == "tea"
    await times_out(WaitLimit(2 * SHORT))


async def test_what_is_raised_passes() -> None:
    async def raises() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await WaitLimit(SHORT).wait(raises())


async def test_each_wait_has_its_own_time_wherever_the_timer_stands() -> None:
    limit = WaitLimit(SHORT)

    async def later(by: float) -> float:
        await asyncio.sleep(by)
        await limit.wait(value("one that is over at once"))
        return await times_out(limit)

    took = await asyncio.gather(*[later(number * SHORT / 4) for number in range(8)])
    assert min(took) >= SHORT


async def test_one_wait_after_the_other_of_a_task_has_its_time() -> None:
    limit = WaitLimit(SHORT)
    assert await times_out(limit) >= SHORT
    assert await times_out(limit) >= SHORT


async def test_a_wait_that_does_not_heed_hinders_no_other() -> None:
    limit, let_go = WaitLimit(SHORT), asyncio.Event()

    async def stubborn() -> str:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return "done"

    async def waits() -> tuple[object, int]:
        task = asyncio.current_task()
        assert task is not None
        return await limit.wait(stubborn()), task.cancelling()

    waiting = asyncio.create_task(waits())
    await times_out(limit)
    await times_out(limit)
    let_go.set()
    assert await waiting == ("done", 0)


async def test_who_is_cancelled_is_cancelled() -> None:
    waiting = asyncio.create_task(WaitLimit(SHORT).wait(asyncio.Event().wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_who_is_cancelled_as_its_time_is_over_is_cancelled() -> None:
    limit = WaitLimit(0)
    waiting = asyncio.create_task(limit.wait(asyncio.Event().wait()))
    await asyncio.sleep(0)  # it waits; its timer rings in the next turn
    asyncio.get_running_loop().call_soon(waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting
