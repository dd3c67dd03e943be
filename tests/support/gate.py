"""A handler under a test's control."""

import asyncio

from orderintake_server.handlers import OrderAttempt


class Gate:
    """Holds every order it is given until it is opened; tells which started, in order."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.started: list[OrderAttempt] = []
        self._open = asyncio.Event()
        self._changed = asyncio.Condition()
        if is_open:
            self.open()

    async def __call__(self, order: OrderAttempt) -> None:
        async with self._changed:
            self.started.append(order)
            self._changed.notify_all()
        await self._open.wait()

    def open(self) -> None:
        """Let every order through, those held and those to come."""
        self._open.set()

    def close(self) -> None:
        """Hold the orders to come."""
        self._open.clear()

    async def starts(self, count: int) -> list[OrderAttempt]:
        """Wait until `count` orders have started."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.started) >= count)
        return self.started
