"""The attempts under way, and how one is told to stop."""

import asyncio
import threading

from orderintake_server.dispatch.attempts import Attempts, StopSignal
from orderintake_server.domain import Order, State, Tier


def attempt(number: int, *, start: int = 0) -> Order:
    """Write an order in process."""
    return Order(
        accept_sequence=number,
        customer_id="ada",
        tier=Tier.REGULAR,
        content=b"",
        accept_time=1,
        state=State.PROCESSING,
        start_sequence=start or number,
    )


def test_an_attempt_begins_without_a_request() -> None:
    assert not Attempts().begin(attempt(1)).is_requested


def test_a_request_reaches_its_attempt_and_no_other() -> None:
    attempts = Attempts()
    one, other = attempts.begin(attempt(1)), attempts.begin(attempt(2))
    attempts.stop(1)
    assert one.is_requested
    assert not other.is_requested


def test_a_request_between_the_start_and_the_work_is_kept() -> None:
    attempts = Attempts()
    attempts.begin(attempt(1))
    attempts.stop(1)
    assert attempts.begin(attempt(1)).is_requested


def test_the_next_attempt_of_an_order_begins_anew() -> None:
    attempts = Attempts()
    attempts.begin(attempt(1))
    attempts.stop(1)
    attempts.end(attempt(1))
    assert not attempts.begin(attempt(1, start=2)).is_requested


def test_an_old_attempt_that_ends_takes_nothing_from_the_new_one() -> None:
    attempts = Attempts()
    old, fresh = attempts.begin(attempt(1)), attempts.begin(attempt(1, start=2))
    attempts.end(attempt(1))
    attempts.stop(1)
    assert fresh.is_requested
    assert not old.is_requested


def test_what_ended_or_never_began_can_end_again() -> None:
    attempts = Attempts()
    attempts.end(attempt(1))
    attempts.begin(attempt(1))
    attempts.end(attempt(1))
    attempts.end(attempt(1))
    attempts.stop(1)


def test_a_second_request_changes_nothing() -> None:
    calls: list[int] = []
    signal = StopSignal()
    signal.on_request = lambda: calls.append(1)
    signal.request()
    signal.request()
    assert signal.is_requested
    assert calls == [1]


def test_a_request_without_anybody_to_call_is_kept() -> None:
    signal = StopSignal()
    signal.request()
    assert signal.is_requested


async def test_a_thread_sees_the_request() -> None:
    signal, looked, asked = StopSignal(), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def look() -> tuple[bool, bool]:
        before = signal.is_requested
        loop.call_soon_threadsafe(looked.set)
        asked.wait(timeout=50)
        return before, signal.is_requested

    looking = loop.run_in_executor(None, look)
    await looked.wait()
    signal.request()
    asked.set()
    assert await looking == (False, True)
