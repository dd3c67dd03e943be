"""Keeps a worker's leases, from a thread of its own: a handler that blocks loses none."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from orderintake.errors import OrderIntakeError
from orderintake.v1.order_work_service_pb2 import WORK_SIGNAL_GOING_AWAY, KeepLeasesRequest
from orderintake.work.remote.repeats import NoToken, Repeats, is_final

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake.v1.order_work_service_pb2 import KeepLeasesResponse
    from orderintake.work.remote.book import Book
    from orderintake.work.remote.line import KeepLeasesCall, Life

UNTOLD_SECONDS = 15.0
"""How long an answer may take, while the server has not said how long leases are good."""
END_SECONDS = 1.0
"""How long the end of the thread is waited for: it may hang in the shop's function for tokens."""
PACE_SECONDS = 0.1
"""An answer without news that comes sooner is not asked for again before this time."""


class Hears(Protocol):
    """Who is told the news; all of it in the event loop."""

    def begun(self) -> None:
        """Hear that a server knows the worker."""

    def refused(self, error: OrderIntakeError) -> None:
        """Hear that no server will have it, before one did: nothing more is done."""

    def hear(self, news: KeepLeasesResponse) -> None:
        """Hear which attempts to stop."""

    def stopped(self) -> None:
        """Hear that a server knows that the worker stops."""


class Keeper:
    """The thread that calls KeepLeases again and again, until it is ended."""

    def __init__(self, book: Book[Any], life: Life, hears: Hears) -> None:
        """Prepare it for the event loop that runs; `hears` is told the news there."""
        self._book, self._life, self._hears = book, life, hears
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._lock = threading.Lock()
        self._call: KeepLeasesCall | None = None
        self._is_stopping = self._has_begun = False
        self._failures = 0
        self._is_over = False
        self._wake = threading.Event()
        self._heard: set[str] = set()
        self._seconds = UNTOLD_SECONDS
        self._repeats = Repeats("the way for signs of life")

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="keep-leases", daemon=True).start()

    def stop(self) -> None:
        """Tell the server that the worker will end, and leases no more."""
        with self._lock:
            self._is_stopping = True
            self._cancel()

    async def end(self) -> None:
        """Keep nothing any more; return when no call is under way, nor will be one."""
        with self._lock:
            self._is_over = True
            self._cancel()
        await asyncio.wait({self._ended}, timeout=END_SECONDS)

    def _cancel(self) -> None:
        """End the wait that there is, for an answer or before the next call."""
        self._wake.set()
        if self._call is not None:
            self._call.cancel()

    def _run(self) -> None:
        try:
            while not self._is_over:
                self._wake.wait(self._paced())
                self._wake.clear()
        except OrderIntakeError as error:
            self._tell(self._hears.refused, error)
        finally:
            self._life.close()
            self._tell(_resolve, self._ended)

    def _paced(self) -> float:
        """Make one call; tell how long to wait before the next. Raises what is final."""
        began = time.monotonic()
        try:
            has_news = self._keep()
        except (OrderIntakeError, NoToken) as error:
            if not self._has_begun and is_final(error):
                raise
            self._failures += 1
            return self._repeats.pause(self._failures, error)
        self._failures = 0
        return 0.0 if has_news else PACE_SECONDS + began - time.monotonic()

    def _keep(self) -> bool:
        """Make one call; tell whether there is news. Raises OrderIntakeError, and NoToken."""
        shown = self._life.shown()
        with self._lock:  # a stop comes before the request is made, or finds the call to cancel
            if self._is_over:
                return True
            request = self._request()
            self._call = self._life.keep(request, shown, self._seconds)
        response = self._life.answer(self._call, shown)
        if response is None:  # a stop cancelled it: that is to be told at once
            return True
        self._repeats.succeeded()
        self._accept(request, response)
        return bool(response.stops or response.lost)

    def _request(self) -> KeepLeasesRequest:
        inventory = self._book.inventory()
        self._heard.intersection_update(inventory.held)
        return KeepLeasesRequest(
            worker_id=self._book.about.worker_id,
            name=self._book.about.name,
            capacity=self._book.about.capacity,
            stopping=self._is_stopping,
            inventory=inventory,
            stops_heard=sorted(self._heard),
        )

    def _accept(self, request: KeepLeasesRequest, response: KeepLeasesResponse) -> None:
        if response.signal == WORK_SIGNAL_GOING_AWAY:
            self._repeats.announced()
        if response.HasField("keeps"):  # the server holds a call for a third of that
            self._seconds = response.keeps.ToNanoseconds() / 2e9
        if not self._has_begun:
            self._has_begun = True
            self._tell(self._hears.begun)
        if response.stops or response.lost:
            # Of one that came after the request nobody here may know yet: it is to be told again.
            self._heard.update(set(response.stops).intersection(request.inventory.held))
            self._tell(self._hears.hear, response)
        if request.stopping:
            self._tell(self._hears.stopped)

    def _tell(self, hear: Callable[..., object], *news: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(hear, *news)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
