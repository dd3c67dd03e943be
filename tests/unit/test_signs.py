"""W8: a replica whose event loop stands still hears nobody, so nobody's silence counts there."""

import asyncio
import threading

from orderintake_server.store.postgres.others.signs import Signs
from support.clocks import Seconds


async def test_w8_nobody_is_buried_by_a_loop_that_stood_still_within_the_time_of_a_lease() -> None:
    clock, written = Seconds(), threading.Event()
    signs = Signs(30.0, clock)

    def write(seconds: float) -> None:
        asyncio.run(signs.write(None, None, seconds))  # type: ignore[arg-type]
        written.set()

    def may_bury(seconds: float) -> bool:
        clock.turn(seconds)
        return signs.may_bury()

    await asyncio.to_thread(write, 30)
    assert (may_bury(29), may_bury(1)) == (False, True)
    written.clear()
    writing = asyncio.get_running_loop().run_in_executor(None, write, 0.01)
    assert written.wait(30)  # the loop stands still
    await writing
    assert not signs.may_bury()
    await asyncio.to_thread(write, 30)
    assert (may_bury(29), may_bury(1)) == (False, True)
