"""The same server with its event loop in a thread of its own, for tests without asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from orderintake_server.handlers import simulate
from orderintake_server.testing.under_test import PATIENCE_SECONDS, server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from orderintake_server.handlers import OrderAttempt
    from orderintake_server.testing.under_test import Clock, ServerUnderTest

_T = TypeVar("_T")

SLACK_SECONDS = 1.0
"""How much longer than the loop's own limits the test waits for the loop."""


class SyncServerUnderTest:
    """A server under test in a thread of its own: as ServerUnderTest, for plain tests."""

    def __init__(self, under_test: ServerUnderTest, thread: _Thread, patience: float) -> None:
        """See `serving`."""
        self.address = under_test.address
        self.clock = SyncClock(under_test.clock, thread)
        self._under_test = under_test
        self._thread = thread
        self._patience = patience

    @property
    def started(self) -> list[OrderAttempt]:
        """What was given to the handler so far, in that order."""
        return list(self._under_test.started)

    def hold(self) -> None:
        """Let no order that has started reach the handler, until released."""
        self._thread.call(self._under_test.hold)

    def release(self, orders: int | None = None) -> None:
        """Let all orders reach the handler again; or (with a number) so many, one after another."""
        self._thread.call(self._under_test.release, orders)

    def starts(self, count: int, *, within: float | None = None) -> list[OrderAttempt]:
        """Wait until `count` attempts have started since the beginning; return them in order.

        Raises TimeoutError when they have not within `within` seconds (None: the patience).
        """
        seconds = self._patience if within is None else within
        return self._thread.wait(self._under_test.starts(count, within=seconds), seconds)

    def assert_rules_obeyed(self) -> None:
        """Check that orders started as they should have, and all else the store promises.

        Raises AssertionError naming the rules that were broken.
        """
        self._thread.wait(self._under_test.assert_rules_obeyed(), self._patience)


class SyncClock:
    """The clock of a server in a thread of its own."""

    def __init__(self, clock: Clock, thread: _Thread) -> None:
        """Read and turn this clock."""
        self._clock = clock
        self._thread = thread

    def __call__(self) -> int:
        """Tell the time in microseconds since 1970."""
        return self._clock()

    def turn(self, seconds: float) -> None:
        """Let so many seconds pass at once; what falls due or expires by then does so now."""
        self._thread.call(self._clock.turn, seconds)


@contextmanager
def serving(
    *,
    data: Path,
    handler: Callable[[OrderAttempt], Any] = simulate,
    patience: float = PATIENCE_SECONDS,
    **settings: Any,  # noqa: ANN401 - whatever Settings take
) -> Iterator[SyncServerUnderTest]:
    """Run a server while inside, as `server` does, with its event loop in a thread of its own."""
    opened = server(data=data, handler=handler, patience=patience, **settings)
    thread = _Thread(opened, patience)
    under_test = thread.start()
    try:
        yield SyncServerUnderTest(under_test, thread, patience)
    finally:
        thread.end(under_test.stops_within)


class _Thread:
    """A thread whose event loop runs a server."""

    def __init__(
        self, opened: AbstractAsyncContextManager[ServerUnderTest], patience: float
    ) -> None:
        self._opened = opened
        self._patience = patience
        self._ready: concurrent.futures.Future[ServerUnderTest] = concurrent.futures.Future()
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()

    def start(self) -> ServerUnderTest:
        """Start the thread; return the server when it serves.

        Raises what kept it from starting.
        """
        threading.Thread(target=self._run, name="server", daemon=True).start()
        self._wait_for(self._ready, self._patience)
        if not self._ready.done():
            self._ended.result()
        return self._ready.result()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with self._opened as under_test:
            self._ready.set_result(under_test)
            await self._stop.wait()

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the thread's event loop, and wait until it returned."""

        async def calling() -> object:
            return function(*arguments)

        self.wait(calling(), self._patience)

    def wait(self, coroutine: Coroutine[Any, Any, _T], seconds: float) -> _T:
        """Run a coroutine that takes so long at the most on the loop; return what it returns.

        Raises what ended the server, if it ended meanwhile.
        """
        done = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._wait_for(done, seconds)
        if not done.done():
            self._ended.result()
        return done.result()

    def _wait_for(self, done: concurrent.futures.Future[Any], seconds: float) -> None:
        """Wait for this, or the end of the server.

        Raises TimeoutError when neither comes: then the loop itself does not go on.
        """
        either: tuple[concurrent.futures.Future[Any], ...] = (done, self._ended)
        limit = seconds + SLACK_SECONDS
        if not concurrent.futures.wait(either, limit, "FIRST_COMPLETED").done:
            done.cancel()
            what = "the server's event loop did not react; does a handler block it?"
            raise TimeoutError(f"{what} (waited {limit:g} s)")

    def end(self, seconds: float) -> None:
        """Stop the server, and wait for that so long at the most.

        Raises what ended the server, if it did not stop in order.
        """
        with suppress(RuntimeError):  # the loop is closed: the server ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        self._wait_for(self._ended, seconds)
        self._ended.result()
