"""A whole server under control in the test's own process, for tests of code that uses the service.

    async with server(data=tmp_path) as shop, AsyncClient(shop.address) as client:
        shop.hold()
        receipt = await client.place(customer_id="ada", lines={"tea": 1})
        await shop.starts(1)
        shop.release()

`orderintake_server.pytest_plugin` has the same as a fixture.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from orderintake_server import clock
from orderintake_server.config import Settings
from orderintake_server.handlers import simulate
from orderintake_server.service import running
from orderintake_server.store.sqlite.audit import audit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from orderintake_server.handlers import OrderAttempt


class Clock(clock.Clock):
    """The service's clock: the real time, plus the time that it was turned forward."""

    def __init__(self) -> None:
        """Begin with the real time."""
        self._ahead = 0
        self.on_turn: Callable[[], object] = lambda: None

    def __call__(self) -> int:
        """Return the time in microseconds since 1970."""
        return super().__call__() + self._ahead

    def steady(self) -> int:
        """Return the steady time in microseconds, in which the turned time passed too."""
        return super().steady() + self._ahead

    def turn(self, seconds: float) -> None:
        """Let `seconds` pass at once; what falls due or expires in them does so now."""
        self._ahead += round(seconds * 1e6)
        self.on_turn()


class ServerUnderTest:
    """A running server: its address, what it processes, and how to hold and release orders."""

    def __init__(self, data: Path) -> None:
        """Keep the store in `data`."""
        self.address = ""
        """HOST:PORT, for a client."""
        self.clock = Clock()
        self.started: list[OrderAttempt] = []
        """The attempts that have started so far, in that order."""
        self._data = data
        self._changed = asyncio.Event()
        self._held: deque[asyncio.Future[None]] = deque()
        self._is_holding = False
        self._passes = 0

    def hold(self) -> None:
        """Hold every order that starts before it reaches the handler, until `release`."""
        self._is_holding = True

    def release(self, orders: int | None = None) -> None:
        """Let all held and later orders reach the handler; or the next `orders` of them only."""
        if orders is None:
            self._is_holding, self._passes = False, 0
            orders = len(self._held)
        while orders and self._held:
            orders -= self._let_go(self._held.popleft())
        self._passes += orders if self._is_holding else 0

    async def starts(self, count: int) -> list[OrderAttempt]:
        """Wait until `count` attempts have started since the beginning; return them in order."""
        while len(self.started) < count:
            await self._changed.wait()
        return self.started[:count]

    async def assert_rules_obeyed(self) -> None:
        """Check that orders started in the right order, and every other rule of the store.

        Raises AssertionError, which names the broken rules.
        """
        findings = await asyncio.to_thread(audit, self._data)
        if findings:
            raise AssertionError("; ".join(f"{bad.rule}: {bad.examples}" for bad in findings))

    async def let_start(self, order: OrderAttempt) -> None:
        """Record that an order started; return when it may reach the handler."""
        self.started.append(order)
        self._changed.set()
        self._changed.clear()
        if self._passes:
            self._passes -= 1
        elif self._is_holding:
            self._held.append(asyncio.get_running_loop().create_future())
            await self._held[-1]

    @staticmethod
    def _let_go(held: asyncio.Future[None]) -> bool:
        """Release a held order; False when it was cancelled meanwhile."""
        is_held = not held.done()
        if is_held:
            held.set_result(None)
        return is_held


@asynccontextmanager
async def server(
    *,
    data: Path,
    handler: Callable[[OrderAttempt], Any] = simulate,
    **settings: Any,  # noqa: ANN401 - whatever Settings accepts
) -> AsyncIterator[ServerUnderTest]:
    """Run a server on a free port of 127.0.0.1 while inside; the store is kept in `data`.

    `settings` are those of the command line, with their names in a TOML file. Settings that are not
    given are read from the environment.

    Raises StartupFailed when the server cannot start.
    """
    chosen = Settings(listen="127.0.0.1:0", data=data, **settings)
    under_test = ServerUnderTest(data)
    async with running(
        chosen, handler=handler, before=under_test.let_start, clock=under_test.clock
    ) as service:
        under_test.address = f"127.0.0.1:{service.port}"
        under_test.clock.on_turn = service.look_at_clock
        try:
            yield under_test
        finally:
            under_test.release()
