"""P19: the last calls wait until the server has begun to stop."""

import asyncio

from orderintake_server.rpc.gate import ShutdownGate


async def _call_without_end(gate: ShutdownGate, tasks: asyncio.TaskGroup, calls: list[int]) -> None:
    """Call again and again, not waiting for the answers."""
    while True:
        tasks.create_task(gate.wait())
        calls.append(1)
        await asyncio.sleep(0)


async def test_calls_wait_until_the_gate_opens() -> None:
    gate = ShutdownGate()
    assert not gate.is_closed
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(gate.wait())
        await gate.close()
        assert gate.is_closed
        assert not call.done()
        gate.open()


async def test_callers_who_never_grow_quiet_are_not_waited_for_for_ever() -> None:
    gate, calls = ShutdownGate(quiet_seconds=0.001, most_seconds=0.01), list[int]()
    async with asyncio.TaskGroup() as tasks:
        endless = tasks.create_task(_call_without_end(gate, tasks, calls))
        await gate.close()
        endless.cancel()
        gate.open()
    assert calls
