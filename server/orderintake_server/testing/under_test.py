"""A server under test on the event loop of its test: run, held and released, its clock turned."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from orderintake_server import clock
from orderintake_server.config import Settings
from orderintake_server.handlers import Shop, simulate
from orderintake_server.service import running
from orderintake_server.store.sqlite.audit import audit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from orderintake_server.handlers import OrderAttempt
    from orderintake_server.service import Running

_T = TypeVar("_T")

PATIENCE_SECONDS = 10.0
"""For how long is waited for what has to come, unless told otherwise."""


async def _within(seconds: float, what: str, awaited: Awaitable[_T]) -> _T:
    """Wait; raise TimeoutError that says what did not happen in time."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await awaited
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"{what} within {seconds:g} s") from None
        raise


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

    def __init__(self, data: Path, *, patience: float = PATIENCE_SECONDS) -> None:
        """Keep the store in `data`; wait no longer than `patience` seconds."""
        self.address = ""
        """HOST:PORT, for a client."""
        self.stops_within = patience
        """Seconds that its stop takes at the most."""
        self.clock = Clock()
        self.started: list[OrderAttempt] = []
        """The attempts that have started so far, in that order."""
        self._data = data
        self._patience = patience
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

    async def starts(self, count: int, *, within: float | None = None) -> list[OrderAttempt]:
        """Wait until `count` attempts have started since the beginning; return them in order.

        Raises TimeoutError when they have not within `within` seconds (None: the patience).
        """
        seconds = self._patience if within is None else within
        try:
            await _within(seconds, "", self._started_are(count))
        except TimeoutError:
            found = ", ".join(each.order_id for each in self.started) or "none"
            what = f"{count} starts did not come within {seconds:g} s, only {len(self.started)}"
            raise TimeoutError(f"{what}: {found}") from None
        return self.started[:count]

    async def _started_are(self, count: int) -> None:
        while len(self.started) < count:
            await self._changed.wait()

    async def assert_rules_obeyed(self) -> None:
        """Check that orders started in the right order, and every other rule of the store.

        Raises AssertionError, which names the broken rules.
        """
        checking = asyncio.to_thread(audit, self._data)
        findings = await _within(self._patience, "the store was not checked", checking)
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
    lifespan: Callable[[], Any] | None = None,
    patience: float = PATIENCE_SECONDS,
    **settings: Any,  # noqa: ANN401 - whatever Settings take
) -> AsyncIterator[ServerUnderTest]:
    """Run a server on a free port of 127.0.0.1 while inside; the store is kept in `data`.

    `settings` are those of the command line, by their names in a TOML file. The environment is not
    read but for what they leave open. No wait takes longer than `patience` seconds, the stop no
    longer than that after `drain_timeout`.

    Raises StartupFailed when it cannot start, TimeoutError when it takes too long to start or stop.
    """
    chosen = Settings(listen=("127.0.0.1:0",), data=data, **settings)
    under_test = ServerUnderTest(data, patience=patience)
    shop = Shop(handler=handler, before=under_test.let_start, lifespan=lifespan)
    service = running(chosen, shop=shop, clock=under_test.clock)
    async with AsyncExitStack() as stack:
        started = await _within(patience, "the server did not start", service.__aenter__())
        under_test.stops_within = chosen.drain_timeout + patience
        stack.push_async_exit(partial(_stop, service, under_test.stops_within))
        stack.callback(under_test.release)
        under_test.address = started.addresses[0]
        under_test.clock.on_turn = started.look_at_clock
        yield under_test


async def _stop(
    service: AbstractAsyncContextManager[Running],
    seconds: float,
    *error: Any,  # noqa: ANN401
) -> bool | None:
    what = "the server did not stop, for a handler does not end,"
    return await _within(seconds, what, service.__aexit__(*error))
