"""The shop's own code: how it is called, and what may come of it."""

import asyncio
import copy
import functools
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import any_pb2, wrappers_pb2

from orderintake.v1 import order_pb2
from orderintake.work.outcome import RESULT_BYTES, Kind, Outcome
from orderintake_server.dispatch.attempts import StopSignal
from orderintake_server.domain import Lease, Order, State, Tier
from orderintake_server.handlers import HandlerCalls, OrderAttempt
from orderintake_server.ids import Ids
from support.hands import called

IDS = Ids("0123abcd")
DONE = wrappers_pb2.StringValue(value="done")


def lease_of(content: order_pb2.Order | None = None) -> Lease:
    """Make a lease of order 7, in its second attempt."""
    order = Order(
        accept_sequence=7,
        customer_id="ada",
        tier=Tier.VIP,
        content=(content or order_pb2.Order(customer_id="ada")).SerializeToString(),
        accept_time=1_790_000_000_250_000,
        state=State.PROCESSING,
        attempt_count=2,
        start_sequence=9,
    )
    return Lease(order=order, crash_count=0)


async def call(
    handler: Callable[[OrderAttempt], Any],
    lease: Lease | None = None,
    signal: StopSignal | None = None,
) -> bytes | None:
    """Call a handler once; give its result."""
    outcome = await outcome_of(handler, lease, signal)
    assert outcome.kind is Kind.SUCCEEDED, outcome
    return outcome.result


async def outcome_of(
    handler: Callable[[OrderAttempt], Any],
    lease: Lease | None = None,
    signal: StopSignal | None = None,
    **policy: Any,  # noqa: ANN401 - whatever a policy takes
) -> Outcome:
    """Call a handler once."""
    with called(handler, IDS, **policy) as calls:
        await calls.room()
        return await calls(lease or lease_of(), signal or StopSignal())


async def test_a_handler_is_given_what_the_caller_placed() -> None:
    content = order_pb2.Order(
        customer_id="ada",
        tier=order_pb2.TIER_VIP,
        lines=[order_pb2.OrderLine(sku="tea", quantity=2)],
        labels={"table": "7"},
    )
    content.payload.Pack(DONE)
    seen: list[OrderAttempt] = []
    signal = StopSignal()
    await call(seen.append, lease_of(content), signal)
    (attempt,) = seen
    assert attempt == OrderAttempt(
        order_id=IDS.order_id(7),
        customer_id="ada",
        tier=order_pb2.TIER_VIP,
        lines=content.lines,
        labels=content.labels,
        payload=content.payload,
        accept_time=datetime(2026, 9, 21, 14, 13, 20, 250_000, tzinfo=UTC),
        attempt=2,
        signal=signal,
    )


async def test_without_payload_there_is_none() -> None:
    seen: list[OrderAttempt] = []
    await call(seen.append)
    assert seen[0].payload is None
    content = order_pb2.Order(payload=any_pb2.Any())
    await call(seen.append, lease_of(content))
    assert seen[1].payload is not None


def spoilt() -> Lease:
    """Make a lease of an order whose content is none."""
    return replace(lease_of(), order=replace(lease_of().order, content=b"\xff"))


async def looks_at_nothing(order: OrderAttempt) -> None:
    assert (order.order_id, order.customer_id, order.attempt) == (IDS.order_id(7), "ada", 2)
    assert not order.cancel_requested
    assert order.seconds_left is None
    assert not hasattr(order, "table")


async def looks(order: OrderAttempt) -> None:
    assert order.lines


async def test_an_order_is_decoded_when_its_handler_looks_at_it() -> None:
    assert await call(looks_at_nothing, spoilt()) is None


@pytest.mark.parametrize("handler", [looks, lambda order: order.payload], ids=["async", "sync"])
async def test_p21_what_cannot_be_decoded_fails_its_own_order(handler: Callable[..., Any]) -> None:
    with called(handler) as calls:
        for _ in range(2):
            await calls.room()
            outcome = await calls(spoilt(), StopSignal())
            assert (outcome.kind, outcome.code) == (Kind.FAILED, "HANDLER_ERROR")
            assert "DecodeError" in outcome.message


async def test_an_attempt_with_a_limit_has_its_deadline_whatever_is_looked_at() -> None:
    content = order_pb2.Order(lines=[order_pb2.OrderLine(sku="tea", quantity=2)])

    async def handler(order: OrderAttempt) -> None:
        deadline = order.deadline
        assert deadline is not None
        assert order.lines == content.lines
        assert order.deadline == deadline
        assert copy.copy(order) == replace(order) == order

    with called(handler, attempt_seconds=3600.0) as calls:
        await calls.room()
        assert (await calls(lease_of(content), StopSignal())).kind is Kind.SUCCEEDED


class Callable_:  # noqa: N801
    async def __call__(self, order: OrderAttempt) -> wrappers_pb2.StringValue:
        assert threading.current_thread() is threading.main_thread()
        return DONE

    async def method(self, order: OrderAttempt) -> wrappers_pb2.StringValue:
        return await self(order)


async def in_the_loop(order: OrderAttempt, result: Any = DONE) -> Any:  # noqa: ANN401
    assert threading.current_thread() is threading.main_thread()
    return result


ASYNC = [in_the_loop, Callable_(), Callable_().method, functools.partial(in_the_loop, result=DONE)]


@pytest.mark.parametrize("handler", ASYNC, ids=["function", "object", "method", "partial"])
async def test_an_async_handler_runs_in_the_loop(handler: Callable[..., Any]) -> None:
    assert _opened(await call(handler)) == DONE


async def test_a_sync_handler_runs_in_a_thread() -> None:
    def handler(order: OrderAttempt) -> wrappers_pb2.StringValue:
        return wrappers_pb2.StringValue(value=threading.current_thread().name)

    result = wrappers_pb2.StringValue.FromString(_opened(await call(handler)).SerializeToString())
    assert result.value.startswith("handler")


async def test_a_sync_handler_may_return_something_to_await() -> None:
    assert _opened(await call(lambda order: in_the_loop(order, DONE))) == DONE


async def test_as_many_sync_handlers_run_at_once_as_there_are_workers() -> None:
    meet = threading.Barrier(3)

    def handler(order: OrderAttempt) -> None:
        meet.wait(timeout=50)

    with called(handler, slots=3) as calls:
        await asyncio.gather(*[one_of(calls) for _ in range(3)])
    assert not meet.broken


async def one_of(calls: HandlerCalls) -> Outcome:
    """Make one attempt of many."""
    await calls.room()
    return await calls(lease_of(), StopSignal())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LookupError("none"), "LookupError: none"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyError(), "KeyError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
    ],
)
async def test_what_a_handler_raises_is_its_outcome(error: BaseException, message: str) -> None:
    def sync(order: OrderAttempt) -> None:
        raise error

    async def in_loop(order: OrderAttempt) -> None:
        raise error

    for handler in (sync, in_loop):
        outcome = await outcome_of(handler)
        assert (outcome.kind, outcome.code) == (Kind.FAILED, "HANDLER_ERROR")
        assert outcome.message == message


async def test_a_stop_iteration_is_an_error_and_no_hang() -> None:
    async def in_loop(order: OrderAttempt) -> None:
        next(iter([]))

    for handler in (lambda order: next(iter(())), in_loop):
        outcome = await outcome_of(handler)
        assert outcome.kind is Kind.FAILED
        assert "StopIteration" in outcome.message


async def test_no_result_is_none() -> None:
    assert await call(lambda order: None) is None


async def test_a_message_is_packed_and_what_is_packed_is_left_alone() -> None:
    packed = any_pb2.Any()
    packed.Pack(DONE)
    assert await call(lambda order: DONE) == packed.SerializeToString()
    assert await call(lambda order: packed) == packed.SerializeToString()


@pytest.mark.parametrize("outcome", [7, "done", b"", {}, False, DONE.__class__], ids=repr)
async def test_anything_else_is_a_fault_of_the_handler(outcome: object) -> None:
    fault = await outcome_of(lambda order: outcome)
    assert (fault.kind, fault.code) == (Kind.REJECTED, "RESULT_INVALID")
    assert f"returned {type(outcome).__name__};" in fault.message


async def test_a_result_at_its_limit_is_kept_and_a_byte_more_refused() -> None:
    largest = any_pb2.Any(type_url="a", value=b"x" * (RESULT_BYTES - 7))
    assert largest.ByteSize() == RESULT_BYTES
    assert await call(lambda order: largest) == largest.SerializeToString()
    largest.value += b"x"
    fault = await outcome_of(lambda order: largest)
    assert (fault.kind, fault.code) == (Kind.REJECTED, "RESULT_INVALID")
    assert f"returned {RESULT_BYTES + 1} bytes" in fault.message


async def test_behind_the_block_nothing_more_is_started() -> None:
    with called(lambda _: None) as calls:
        await one_of(calls)
    with pytest.raises(RuntimeError, match="after shutdown"):
        await calls(lease_of(), StopSignal())


def _opened(result: bytes | None) -> wrappers_pb2.StringValue:
    """Open a result."""
    assert result is not None
    opened = wrappers_pb2.StringValue()
    assert any_pb2.Any.FromString(result).Unpack(opened)
    return opened
