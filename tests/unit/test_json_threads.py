"""Works that take long: one at a time, whoever leaves meanwhile."""

import asyncio
import threading
from contextlib import suppress

from orderintake_server.http.json.threads import LOOP_BYTES, OneThread


async def test_the_next_waits_for_a_work_whose_caller_has_left() -> None:
    one, begun, may_end = OneThread(), threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        begun.set()
        may_end.wait(30)
        order.append("first")

    left = asyncio.create_task(one.run(LOOP_BYTES + 1, first))
    await asyncio.to_thread(begun.wait, 30)
    left.cancel()
    with suppress(asyncio.CancelledError):
        await left
    following = asyncio.create_task(one.run(LOOP_BYTES + 1, order.append, "next"))
    await asyncio.wait({following}, timeout=0.1)
    assert not order
    may_end.set()
    await following
    assert order == ["first", "next"]


async def test_who_leaves_while_it_waits_holds_up_nobody() -> None:
    one, may_end = OneThread(), threading.Event()
    first = asyncio.create_task(one.run(LOOP_BYTES + 1, may_end.wait, 30))
    left = asyncio.create_task(one.run(LOOP_BYTES + 1, may_end.wait, 30))
    following = asyncio.create_task(one.run(LOOP_BYTES + 1, int, "5"))
    await asyncio.sleep(0)
    left.cancel()
    may_end.set()
    assert await first
    assert await following == 5
