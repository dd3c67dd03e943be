"""One life of a worker: from its first sign of life to its last word."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from orderintake.errors import OrderIntakeError
from orderintake.v1.order_work_service_pb2 import EndWorkerRequest
from orderintake.work.remote.book import Book
from orderintake.work.remote.exchange import RemoteExchange
from orderintake.work.remote.keeping import Keeper
from orderintake.work.remote.repeats import NoToken, Repeats, is_final
from orderintake.work.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake.v1.order_work_service_pb2 import KeepLeasesResponse
    from orderintake.work.handlers import HandlerCalls
    from orderintake.work.remote.book import About
    from orderintake.work.remote.line import Line
    from orderintake.work.runner import Leased

TELL_SECONDS = 5.0
"""At least so long a drain waits until the server has heard of all."""
HURRY_SECONDS = 0.5
"""The same, when the worker was told to hurry, or no server ever answered it."""
CALL_SECONDS = 5.0
"""How long the answer to EndWorker may take; then it is repeated."""

_log = logging.getLogger(__name__)


class Session:
    """The parts of a worker at work. The owner starts it, and drains it once."""

    def __init__(
        self,
        line: Line,
        about: About,
        calls: HandlerCalls,
        resources: Any = None,  # noqa: ANN401 - the shop's own
    ) -> None:
        """Prepare it in the event loop that runs; `line` is open."""
        self.on_begun: Callable[[], object] = lambda: None
        """Called once, when a server knows the worker."""
        self.on_refused: Callable[[OrderIntakeError], object] = lambda _: None
        """Called when the first server that answers will not have it."""
        self._book: Book[asyncio.Future[Leased]] = Book(about)
        self._orders = line.orders()
        self._exchange = RemoteExchange(self._book, self._orders.lease, resources)
        self._keeper = Keeper(self._book, line.life(), self)
        self._runner = Runner(self._exchange, calls, about.capacity, self._stuck)
        self.on_stuck: Callable[[], object] = lambda: None
        """Called when half of the slots hang in the handler."""
        self._limit: asyncio.Timeout | None = None
        self._is_known = self._is_refused = self._is_hurried = False

    def start(self) -> None:
        """Begin to keep leases, and to ask for orders."""
        self._keeper.start()
        self._runner.start()

    def hurry(self) -> None:
        """Let a drain end within a second: attempts are cancelled and given back."""
        self._is_hurried = True
        self._runner.hurry()
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + HURRY_SECONDS)

    def announce_stop(self) -> None:
        """Tell the server of the stop, from any thread."""
        self._keeper.stop()

    async def drain(self, seconds: float) -> bool:
        """Take no more orders, and end. Attempts get so many seconds; late ones are given back.

        Tells whether the server has heard of all; it is waited for as long as there is time left,
        and five seconds at least. One that never knew the worker is hardly waited for.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        self._book.stop()
        self._keeper.stop()
        await self._runner.drain(seconds)
        left = max(until - clock(), TELL_SECONDS)
        if self._is_hurried or not (self._is_known or self._book.held):
            left = HURRY_SECONDS
        try:
            async with asyncio.timeout(left) as self._limit:
                await self._take_leave()
        except TimeoutError:
            _log.warning("the stop is not waited for any longer: no server hears of it")
        finally:
            await self._exchange.close()
            await self._keeper.end()
            await self._orders.close()
        if self._book.held:
            about = {"attempts": self._book.held}
            _log.error("the server did not hear what came of attempts; they run again", extra=about)
        return not self._book.held

    async def _take_leave(self) -> None:
        """Tell all there is to tell; then that the worker has ended."""
        if self._is_refused:
            return
        await self._exchange.told()
        await self._exchange.close()
        await self._keeper.end()  # or it would be taken for alive again
        failures, repeats = 0, Repeats("the way for the end")
        while failure := await self._end_worker():
            failures += 1
            await asyncio.sleep(repeats.pause(failures, failure))

    async def _end_worker(self) -> OrderIntakeError | NoToken | None:
        """Say once that the worker has ended; give what it failed by, if a repeat may help."""
        try:
            request = EndWorkerRequest(worker_id=self._book.about.worker_id)
            await self._orders.end(request, CALL_SECONDS)
        except (OrderIntakeError, NoToken) as error:
            return None if is_final(error) else error
        return None

    def _stuck(self) -> None:
        self.on_stuck()

    # What the keeper hears

    def begun(self) -> None:
        """Hear that a server knows the worker."""
        self._is_known = True
        self.on_begun()

    def refused(self, error: OrderIntakeError) -> None:
        """Hear that it will have no worker like this."""
        self._is_refused = True
        self.on_refused(error)

    def hear(self, news: KeepLeasesResponse) -> None:
        """Hear which attempts to stop."""
        self._exchange.hear(news)

    def stopped(self) -> None:
        """Hear that no call is given an order any more."""
        self._exchange.stop_waiting()
