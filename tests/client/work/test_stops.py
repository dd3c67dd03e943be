"""A worker that is stopped at a moment at which little is there yet, or somebody hangs."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orderintake import Worker
from orderintake.v1 import order_work_service_pb2 as api
from orderintake.work import OrderAttempt
from orderintake.work.finding import HandlerUnusable
from orderintake.work.lifespan import lifespan
from orderintake.work.remote import keeping
from orderintake.work.remote.book import About, Book
from orderintake.work.remote.keeping import Keeper
from support.program import free_port
from support.work_port import work_port

AT_ONCE = 3.0
"""Much less than the drain time-out of 20 s, on a busy machine too."""


async def test_a_stop_ends_a_lifespan_that_does_not_begin() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def hangs() -> AsyncIterator[None]:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        yield

    worker = Worker(lambda order: None, lifespan=hangs)
    running = asyncio.create_task(worker.run())
    await begun.wait()
    async with asyncio.timeout(AT_ONCE):
        worker.stop()
        worker.stop()  # a signal may come twice
        assert await running == 0
    assert cancelled.is_set()


async def test_a_stop_before_the_begin_is_a_stop() -> None:
    @asynccontextmanager
    async def hangs() -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    worker = Worker(lambda order: None, lifespan=hangs)
    worker.stop()
    async with asyncio.timeout(AT_ONCE):
        assert await worker.run() == 0


async def test_a_worker_that_found_no_server_ends_at_once() -> None:
    worker = Worker(lambda order: None, server=f"127.0.0.1:{free_port()}", slots=1)
    async with asyncio.timeout(AT_ONCE):
        async with worker:
            pass
    assert worker.exit_code == 0


async def test_a_function_for_tokens_that_hangs_holds_up_no_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "END_SECONDS", 0.1)
    asked, go_on = threading.Event(), threading.Event()

    def token() -> str:
        asked.set()
        go_on.wait()
        return "late"

    async with work_port() as port:
        worker = Worker(lambda order: None, server=port.address, slots=1, token=token)
        try:
            async with asyncio.timeout(AT_ONCE):
                async with worker:
                    await asyncio.to_thread(asked.wait)
        finally:
            go_on.set()
        assert worker.exit_code == 0


class Life:
    """Tells in its first answer to stop a lease that comes after the question."""

    def __init__(self, book: Book[str]) -> None:
        self.requests: list[api.KeepLeasesRequest] = []
        self.both = threading.Event()
        self._book = book

    def shown(self) -> None:
        """Show nothing."""

    def keep(self, request: api.KeepLeasesRequest, *_: object) -> Any:  # noqa: ANN401 - as grpc's
        self.requests.append(request)
        return self

    def cancel(self) -> None:
        """Do nothing: no answer is waited for."""

    def answer(self, *_: object) -> api.KeepLeasesResponse:
        if len(self.requests) > 1:
            self.both.set()
            return api.KeepLeasesResponse()
        if call := self._book.next_call():
            answer = api.LeaseOrdersResponse(orders=[api.LeasedOrder(lease="new")])
            self._book.answered(call, answer)
        return api.KeepLeasesResponse(stops=["old", "new"])

    def close(self) -> None:
        """Do nothing: nothing is open."""


class Hears:
    """Hears everything, and does nothing."""

    def __getattr__(self, _: str) -> Any:  # noqa: ANN401 - each of its methods
        return lambda *_: None


async def test_a_stop_that_came_before_its_lease_is_to_be_told_again() -> None:
    book: Book[str] = Book(About("me", "me", 2))
    book.offer("slot 1")
    call = book.next_call()
    assert call is not None
    book.answered(call, api.LeaseOrdersResponse(orders=[api.LeasedOrder(lease="old")]))
    book.offer("slot 2")
    life = Life(book)
    keeper = Keeper(book, life, Hears())  # type: ignore[arg-type]
    keeper.start()
    await asyncio.to_thread(life.both.wait, 5)
    await keeper.end()
    assert list(life.requests[1].inventory.held) == ["new", "old"]
    assert list(life.requests[1].stops_heard) == ["old"]


async def test_a_lifespan_around_another_one_says_once_why_that_cannot_begin() -> None:
    @asynccontextmanager
    async def inner() -> AsyncIterator[None]:
        raise ConnectionError("no database")
        yield

    @asynccontextmanager
    async def outer() -> AsyncIterator[None]:
        async with lifespan(inner, "kitchen:prepare"):
            yield

    with pytest.raises(HandlerUnusable) as unusable:
        async with lifespan(outer, "prepare"):
            pass
    why = "the lifespan of 'kitchen:prepare' cannot begin: ConnectionError: no database"
    assert str(unusable.value) == why


async def test_an_order_whose_handler_cancels_all_around_it_has_had_its_attempt() -> None:
    own = ("slot-", "attempt ", "lease orders ", "worker")

    async def handler(order: OrderAttempt) -> None:
        for task in asyncio.all_tasks():
            if task.get_name().startswith(own):
                task.cancel()

    async with work_port() as port:
        worker = Worker(handler, server=port.address, slots=2)
        running = asyncio.create_task(worker.run(), name="worker")
        await port.place("a")
        with pytest.raises(asyncio.CancelledError):
            await running
        assert [each.failed.code for each in port.desk.outcomes] == ["HANDLER_ERROR"]
        assert (port.desk.ended, worker.exit_code) == ({worker.worker_id}, 0)
