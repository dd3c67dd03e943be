"""The workers: the most urgent order first, and whatever a handler does is its order's ending."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf import any_pb2

from orderintake_server.dispatch.attempts import StopSignal
from orderintake_server.domain import Completion, Failure, Lease, State
from orderintake_server.handlers import Reject
from support.changes import new, strictly, whole_log
from support.desk import Desk, working
from support.faulty import FaultyStore
from support.hands import FOREVER, Hand, Handler, at_work


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work."""
    async with working(Desk(store)) as desk:
        yield desk


async def endings(
    desk: Desk, store: FaultyStore, handler: Handler, *, count: int
) -> list[Completion]:
    """Let one worker process `count` orders; tell how they ended."""
    async with at_work(desk, handler):
        await desk.place(*[new()] * count)
        await desk.completions.head_beyond(count - 1)
    return await whole_log(store)


async def test_p6_a_free_worker_takes_the_most_urgent_order(desk: Desk, store: FaultyStore) -> None:
    hand = Hand()
    async with at_work(desk, hand):
        await desk.place(new())
        assert await hand.starts(1) == [1]
        await desk.place(new(), new(vip=True), new(), new(vip=True))
        assert hand.started.empty()
        hand.let_go.set()
        assert await hand.starts(4) == [3, 5, 2, 4]
        await desk.completions.head_beyond(4)
    log = await whole_log(store)
    assert [completion.order.start_sequence for completion in log] == [1, 2, 3, 4, 5]


async def test_pains_9_an_order_that_comes_late_is_the_very_next(desk: Desk) -> None:
    hand = Hand()
    async with at_work(desk, hand):
        await desk.place(*[new()] * 50)
        await hand.starts(1)
        await desk.place(new(vip=True))
        hand.let_go.set()
        assert await hand.starts(1) == [51]


async def test_so_many_orders_run_at_once_as_there_are_workers(desk: Desk) -> None:
    hand = Hand()
    async with at_work(desk, hand, count=3):
        await desk.place(*[new()] * 5)
        assert await hand.starts(3) == [1, 2, 3]
        await desk.place()  # a commit later none has started more
        assert hand.started.empty()
        hand.let_go.set()


async def test_without_workers_orders_wait(desk: Desk) -> None:
    async with at_work(desk, Hand(), count=0):
        await desk.place(new())
    assert len(desk.ready) == 1


async def test_what_a_handler_returns_is_the_result(desk: Desk, store: FaultyStore) -> None:
    results = [None, b"", any_pb2.Any(type_url="t", value=b"result").SerializeToString()]

    async def handler(lease: Lease, signal: StopSignal) -> bytes | None:
        return results[lease.order.accept_sequence - 1]

    found = await endings(desk, store, handler, count=3)
    assert [end.result for end in found] == results
    assert {end.order.state for end in found} == {State.SUCCEEDED}


async def test_an_end_and_the_next_start_share_a_commit(desk: Desk, store: FaultyStore) -> None:
    async def handler(lease: Lease, signal: StopSignal) -> None:
        pass

    await endings(desk, store, handler, count=3)
    commits = [store.begun.get_nowait() for _ in range(store.begun.qsize())]
    both = [changes for changes in commits if changes.settles and changes.claims]
    assert len(both) == 2


class _Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


RAISED = {
    "an error": (LookupError("no such article"), "LookupError: no such article"),
    "an error without text": (ValueError(), "ValueError"),
    "an exit": (SystemExit(3), "SystemExit: 3"),
    "a cancellation": (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
    "a group": (ExceptionGroup("two", [ValueError()]), "ExceptionGroup: two (1 sub-exception)"),
    "a text beyond Unicode": (OSError("tea\udce9"), "OSError: tea?"),
    "a text of any kind": (OSError("é\x00\n😀"), "OSError: é\x00\n😀"),
    "an error that cannot tell": (
        _Speechless(),
        f"{__name__}._Speechless: <exception str() failed>",
    ),
}


@pytest.mark.parametrize(("error", "message"), RAISED.values(), ids=RAISED.keys())
async def test_whatever_a_handler_raises_is_its_orders_failure(
    desk: Desk, store: FaultyStore, error: BaseException, message: str
) -> None:
    async def handler(lease: Lease, signal: StopSignal) -> None:
        if lease.order.accept_sequence == 1:
            raise error

    failed, next_one = await endings(desk, store, handler, count=2)
    assert failed.failure == Failure(code="HANDLER_ERROR", message=message)
    assert failed.order.state is State.FAILED
    assert next_one.order.state is State.SUCCEEDED


async def test_a_handler_that_meets_a_cancelled_task_has_failed(
    desk: Desk, store: FaultyStore
) -> None:
    async def handler(lease: Lease, signal: StopSignal) -> None:
        task = asyncio.create_task(asyncio.sleep(FOREVER))
        task.cancel()
        await task

    (ending,) = await endings(desk, store, handler, count=1)
    assert ending.failure is not None


async def test_a_fault_of_the_handler_is_told_by_its_code(desk: Desk, store: FaultyStore) -> None:
    async def handler(lease: Lease, signal: StopSignal) -> None:
        raise Reject("RESULT_INVALID", "it returned a number")

    (ending,) = await endings(desk, store, handler, count=1)
    assert ending.failure == Failure(code="RESULT_INVALID", message="it returned a number")


@pytest.mark.parametrize("error", [ValueError("é" * 5000), Reject("X", "é" * 5000)])
async def test_a_long_message_is_cut(desk: Desk, store: FaultyStore, error: Exception) -> None:
    async def handler(lease: Lease, signal: StopSignal) -> None:
        raise error

    (ending,) = await endings(desk, store, handler, count=1)
    assert ending.failure is not None
    assert len(ending.failure.message) == 1024


async def test_a_place_whose_order_is_gone_is_passed_over(desk: Desk, store: FaultyStore) -> None:
    await desk.place(new(), new())
    await desk.start()
    desk.ready.push(strictly(1))
    hand = Hand()
    async with at_work(desk, hand):
        assert await hand.starts(1) == [2]
        hand.let_go.set()
