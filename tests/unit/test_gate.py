"""P19: new calls wait until those before them have ended, and are answered before the stop."""

import asyncio

from orderintake_server.calls.gate import ShutdownGate

LOOK_SECONDS = 0.001


async def _call(gate: ShutdownGate, done: asyncio.Event) -> None:
    """Make a call as the binder does; it ends when `done` is set."""
    gate.calls += 1
    try:
        if gate.is_closed:
            await gate.wait()
        await done.wait()
    finally:
        gate.calls -= 1


async def test_calls_wait_until_the_gate_opens_and_are_answered_then() -> None:
    gate, done = ShutdownGate(look_seconds=LOOK_SECONDS), asyncio.Event()
    done.set()
    async with asyncio.TaskGroup() as tasks:
        await gate.close()
        call = tasks.create_task(_call(gate, done))
        await asyncio.sleep(0)
        assert not call.done()
        await gate.open()
        assert call.done()
        assert gate.calls == 0


async def test_it_closes_when_those_that_passed_have_ended() -> None:
    gate, done = ShutdownGate(look_seconds=LOOK_SECONDS, end_seconds=60), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_call(gate, done))
        await asyncio.sleep(0)
        closing = tasks.create_task(gate.close())
        await asyncio.sleep(0)
        held = tasks.create_task(_call(gate, done))
        await asyncio.sleep(0)
        assert not closing.done()
        done.set()
        await closing
        assert not held.done()
        await gate.open()


async def test_calls_without_an_end_are_not_waited_for_for_ever() -> None:
    gate, never = ShutdownGate(look_seconds=LOOK_SECONDS, end_seconds=0.01), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        endless = tasks.create_task(_call(gate, never))
        await asyncio.sleep(0)
        await gate.close()
        await gate.open()
        endless.cancel()
