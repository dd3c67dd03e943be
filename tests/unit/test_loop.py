"""P21: the service's event loop is not the handlers': they see no task of it, and end none."""

import asyncio
import sys
from collections.abc import Callable, Iterator

import pytest

from orderintake_server.process import loop as loops
from orderintake_server.process.loop import run_to_end


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the loop, as the end of a process would."""
    yield
    asyncio.get_event_loop_policy().get_event_loop().close()
    asyncio.set_event_loop(None)


def run(*left_behind: Callable[[], object]) -> list[str]:
    """Run a service to its end while its code does these things; tell what became of its tasks."""
    ends: list[str] = []

    async def works() -> None:
        try:
            await asyncio.sleep(0.05)
            ends.append("done")
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(works())
            await asyncio.sleep(0)
            for code in left_behind:
                code()
        ends.append("main done")

    run_to_end(main())
    return ends


def cancel_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()


def change_tasks() -> None:
    with pytest.raises(RuntimeError, match="the service's"):
        asyncio.get_running_loop().set_task_factory(None)


def stop() -> None:
    asyncio.get_running_loop().stop()


def exit_later() -> None:
    asyncio.get_running_loop().call_soon(sys.exit, 3)


@pytest.mark.parametrize("code", [cancel_all, change_tasks, stop, exit_later])
def test_p21_nothing_that_is_done_to_the_loop_ends_the_services_tasks(
    code: Callable[[], object],
) -> None:
    assert run(code) == ["done", "main done"]


def test_what_is_left_at_the_end_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "LEFT_SECONDS", 5)
    ends: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("ended")

    async def main() -> None:
        ends.append(asyncio.create_task(waits()).get_name() and "begun")
        await asyncio.sleep(0)

    run_to_end(main())
    assert ends == ["begun", "ended"]


def test_what_is_left_of_many_tasks_is_known() -> None:
    forever: list[asyncio.Task[bool]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, loops.ServiceLoop)
        for number in range(3 * loops.LOOKED_AT):
            task = asyncio.create_task(asyncio.Event().wait() if not number % 500 else done())
            if not number % 500:
                forever.append(task)
            await asyncio.sleep(0)
        assert loop.unfinished() == {*forever, asyncio.current_task()}

    async def done() -> bool:
        return True

    run_to_end(main())
    assert all(task.cancelled() for task in forever)
    assert len(forever) == 6


def test_what_main_raises_is_raised() -> None:
    async def main() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        run_to_end(main())
