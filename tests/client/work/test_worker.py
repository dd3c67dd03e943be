"""A worker in the test's own process, and a server that does to it whatever can be done."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from orderintake import NotAllowed, OrderIntakeError, Worker
from orderintake.work import OrderAttempt, Reject, Retry
from orderintake.work.current import AttemptInLog
from orderintake.work.finding import HandlerUnusable
from orderintake.work.remote.worker import STUCK, UNTOLD
from support.program import free_port
from support.work_port import WorkPort, work_port


@pytest.fixture
async def port() -> AsyncIterator[WorkPort]:
    async with work_port() as port:
        yield port


@asynccontextmanager
async def at_work(
    port: WorkPort,
    handler: Callable[[OrderAttempt], Any],
    **options: Any,  # noqa: ANN401 - whatever a Worker takes
) -> AsyncIterator[Worker]:
    """Run a worker for the block."""
    async with Worker(handler, **{"server": port.address, "slots": 2, **options}) as worker:
        yield worker


def kinds(port: WorkPort) -> list[str | None]:
    return [each.WhichOneof("outcome") for each in port.desk.outcomes]


async def test_it_processes_orders_and_says_goodbye(port: WorkPort) -> None:
    seen: list[str] = []

    async def handler(order: OrderAttempt) -> StringValue:
        seen.append(order.order_id)
        return StringValue(value=order.order_id)

    async with at_work(port, handler) as worker:
        await port.place("a", "b", "c")
        await port.completed(3)
    assert sorted(seen) == ["a", "b", "c"]
    result = StringValue()
    assert port.desk.outcomes[0].succeeded.result.Unpack(result)
    assert result.value == "a"
    assert (port.desk.ended, worker.exit_code) == ({worker.worker_id}, 0)


async def test_a_handler_has_what_its_lifespan_opened_and_the_trace(port: WorkPort) -> None:
    port.traceparent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
    port.timeout_seconds = 60.0
    seen: list[tuple[Any, ...]] = []
    events: list[str] = []

    @asynccontextmanager
    async def resources() -> AsyncIterator[str]:
        events.append("open")
        yield "a pool"
        events.append("closed")

    def handler(order: OrderAttempt) -> None:
        assert order.seconds_left is not None
        seen.append((order.resources, order.traceparent, order.attempt, order.seconds_left > 50))

    async with at_work(port, handler, lifespan=resources):
        await port.place("a")
        await port.completed(1)
    assert seen == [("a pool", port.traceparent, 1, True)]
    assert events == ["open", "closed"]


async def test_whatever_a_handler_does_becomes_an_outcome(port: WorkPort) -> None:
    def handler(order: OrderAttempt) -> None:
        if order.order_id == "reject":
            raise Reject("SOLD_OUT", "no tea")
        if order.order_id == "retry" and order.attempt == 1:
            raise Retry(after=2.5, code="BUSY", text="later")
        if order.order_id == "error":
            raise ValueError("a secret")

    async with at_work(port, handler, slots=1):
        await port.place("reject", "retry", "error")
        await port.completed(3)
    reject, retry, again, error = port.desk.outcomes
    assert (reject.rejected.code, reject.rejected.message) == ("SOLD_OUT", "no tea")
    assert (retry.retry.after.ToMilliseconds(), retry.retry.failure.code) == (2500, "BUSY")
    assert again.WhichOneof("outcome") == "succeeded"
    assert error.failed.code == "HANDLER_ERROR"
    assert "a secret" not in error.failed.message


async def test_a_call_without_an_answer_is_repeated_as_it_was(port: WorkPort) -> None:
    port.losing = 3
    async with at_work(port, lambda order: None, slots=1):
        await port.place("a")
        await port.completed(1)
    calls = [(each.call, each.slots, len(each.outcomes)) for each in port.requests]
    assert calls[:4] == [(1, 1, 0)] * 4
    assert port.desk.starts == 1


async def test_a_lost_answer_to_an_outcome_counts_it_once(port: WorkPort) -> None:
    async def handler(order: OrderAttempt) -> None:
        port.losing = 2

    async with at_work(port, handler, slots=1) as worker:
        await port.place("a")
        await port.completed(1)
    assert (kinds(port), worker.exit_code) == (["succeeded"], 0)


async def test_a_cancelled_order_stops_its_handler(port: WorkPort) -> None:
    begun = asyncio.Event()

    async def handler(order: OrderAttempt) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with at_work(port, handler):
        await port.place("a")
        await begun.wait()
        port.desk.cancel("a")
        await port.change()
        await port.completed(1)
    assert port.desk.outcomes[0].rejected.code == "CANCELLED"


async def test_a_lost_lease_stops_its_handler_and_nothing_is_said(port: WorkPort) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handler(order: OrderAttempt) -> None:
        if order.order_id == "a" and not begun.is_set():
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    async with at_work(port, handler, slots=1):
        await port.place("a")
        await begun.wait()
        port.desk.take_back("lease-1")
        await port.change()
        await ended.wait()
        await port.completed(1)
    assert [each.lease for each in port.desk.outcomes] == ["lease-2"]


async def test_a_drain_gives_back_what_is_late(port: WorkPort) -> None:
    begun = asyncio.Event()

    async def handler(order: OrderAttempt) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with at_work(port, handler, drain_timeout=0.05) as worker:
        await port.place("a")
        await begun.wait()
    assert kinds(port) == ["returned"]
    assert port.desk.ended == {worker.worker_id}
    assert port.desk.stopping == {worker.worker_id}


async def test_a_drain_waits_for_what_is_under_way_and_starts_nothing(port: WorkPort) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handler(order: OrderAttempt) -> None:
        begun.set()
        await go_on.wait()

    worker = Worker(handler, server=port.address, slots=2)
    running = asyncio.create_task(worker.run())
    await port.place("a")
    await begun.wait()
    worker.stop()
    await port.until(lambda: port.desk.stopping)
    await port.place("b")
    go_on.set()
    assert await running == 0
    assert port.desk.completed() == ["a"]
    assert list(port.desk.waiting) == ["b"]


async def test_who_hurries_it_gets_all_back_within_a_second(port: WorkPort) -> None:
    begun = asyncio.Event()

    async def stubborn(order: OrderAttempt) -> None:
        begun.set()
        while not go_on.is_set():
            with suppress(asyncio.CancelledError):
                await go_on.wait()

    go_on = asyncio.Event()
    worker = Worker(stubborn, server=port.address, slots=1, drain_timeout=60.0)
    running = asyncio.create_task(worker.run())
    await port.place("a")
    await begun.wait()
    worker.stop()
    began = time.monotonic()
    worker.hurry()
    assert await running == 0
    assert time.monotonic() - began < 1.0
    assert kinds(port) == ["returned"]
    go_on.set()


async def test_with_half_of_its_slots_stuck_it_ends_to_be_started_anew(port: WorkPort) -> None:
    port.timeout_seconds = 0.01
    go_on = threading.Event()

    def hangs(order: OrderAttempt) -> None:
        go_on.wait()

    worker = Worker(hangs, server=port.address, slots=2)
    running = asyncio.create_task(worker.run())
    await port.place("a")
    try:
        async with asyncio.timeout(15):
            assert await running == STUCK
    finally:
        go_on.set()
    assert port.desk.outcomes[0].failed.code == "ATTEMPT_TIMEOUT"


async def test_a_worker_that_no_server_will_have_ends_with_the_reason(port: WorkPort) -> None:
    port.refusal = (grpc.StatusCode.PERMISSION_DENIED, "it needs the role worker")
    with pytest.raises(OrderIntakeError) as refused:
        await Worker(lambda order: None, server=port.address).run()
    assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert not isinstance(refused.value, NotAllowed)  # it had no reason of the service's


async def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    address = f"127.0.0.1:{free_port()}"
    ready = asyncio.Event()
    worker = Worker(lambda order: None, server=address, slots=1, on_ready=ready.set)
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0)
    async with work_port(address) as port:
        await ready.wait()
        await port.place("a")
        await port.completed(1)
        worker.stop()
        assert await running == 0


async def test_an_outcome_that_no_server_takes_is_dropped_and_the_others_are_told(
    port: WorkPort, caplog: pytest.LogCaptureFixture
) -> None:
    port.bad_lease = "lease-1"
    both = asyncio.Barrier(2)

    async def handler(order: OrderAttempt) -> None:
        await both.wait()

    async with at_work(port, handler) as worker:
        await port.place("a", "b")
        await port.completed(1)
    assert port.desk.completed() == ["b"]
    assert worker.exit_code == 0
    assert "an outcome is refused" in caplog.text


async def test_a_stop_that_no_server_hears_of_says_so(port: WorkPort) -> None:
    begun = asyncio.Event()

    async def handler(order: OrderAttempt) -> None:
        begun.set()
        port.refusal = (grpc.StatusCode.UNAVAILABLE, "away")

    worker = Worker(handler, server=port.address, slots=1, drain_timeout=60.0)
    running = asyncio.create_task(worker.run())
    await port.place("a")
    await begun.wait()
    worker.stop()
    worker.hurry()
    assert await running == UNTOLD


async def test_what_a_handler_logs_names_its_order(
    port: WorkPort, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(AttemptInLog())

    def handler(order: OrderAttempt) -> None:
        logging.getLogger("shop").warning("in a thread")

    async with at_work(port, handler):
        await port.place("a")
        await port.completed(1)
    (record,) = [each for each in caplog.records if each.name == "shop"]
    assert (record.__dict__["order_id"], record.__dict__["customer_id"]) == ("a", "ada")
    assert record.__dict__["attempt"] == 1


async def test_a_caller_that_is_cancelled_drains_it(port: WorkPort) -> None:
    running = asyncio.create_task(Worker(lambda order: None, server=port.address).run())
    await port.until(lambda: port.desk.kept)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert port.desk.ended


async def test_a_worker_runs_once_and_a_bad_one_never(port: WorkPort) -> None:
    worker = Worker(lambda order: None, server=port.address)
    async with worker:
        pass
    with pytest.raises(RuntimeError, match="runs once"):
        await worker.run()
    with pytest.raises(HandlerUnusable, match="one argument"):
        Worker(lambda: None)  # type: ignore[arg-type, misc]
    for options in ({"slots": 0}, {"name": ""}, {"worker_id": "x" * 65}, {"drain_timeout": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            Worker(lambda order: None, **options)
