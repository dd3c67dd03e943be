"""What only threads can do to the synchronous client."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from client.completions.opened import completions_of
from client.completions.subscribed import patient
from client.fake_server import UNAVAILABLE, Context, FakeServer, Messages, Silence, started
from orderintake import Client, Completion, Completions


def test_another_thread_ends_an_iterator_that_waits(server: FakeServer) -> None:
    with (
        Client(server.target) as client,
        client.completions() as completions,
        ThreadPoolExecutor() as pool,
    ):
        seen, waiting = _collected(completions, pool)
        server.servicer.complete(1)
        seen.acquire()
        completions.close()
        assert [each.sequence for each in waiting.result(10)] == [1]
    assert server.servicer.left.acquire(timeout=10)


def test_closing_the_client_ends_the_iterators_of_other_threads(server: FakeServer) -> None:
    server.servicer.complete(1)
    with ThreadPoolExecutor() as pool:
        with Client(server.target) as client:
            completions = client.completions().__enter__()
            seen, waiting = _collected(completions, pool)
            seen.acquire()
        assert [each.sequence for each in waiting.result(10)] == [1]


def test_closing_wakes_an_iterator_that_pauses_before_it_comes_back(
    server: FakeServer, lost: threading.Event
) -> None:
    def drop(context: Context) -> Messages:
        yield started()
        UNAVAILABLE.end(context)

    server.servicer.scripts.append(drop)
    with (
        completions_of(server.target, patient()) as completions,
        ThreadPoolExecutor() as pool,
    ):
        waiting = pool.submit(list, completions)
        assert lost.wait(10)
        completions.close()
        assert waiting.result(10) == []
    assert len(server.servicer.requests) == 1


def test_closing_before_it_stands_gives_an_iterator_without_anything(server: FakeServer) -> None:
    entering = threading.Event()

    def hold(context: Context) -> Messages:
        gone = threading.Event()
        context.add_callback(gone.set)
        entering.set()
        gone.wait(10)
        yield started()

    server.servicer.scripts.append(hold)
    with Client(server.target) as client, ThreadPoolExecutor() as pool:
        completions = client.completions()
        entered = pool.submit(completions.__enter__)
        assert entering.wait(10)
        completions.close()
        assert list(entered.result(10)) == []


def test_an_interrupted_read_loses_nothing(server: FakeServer) -> None:
    reading = threading.Event()

    def interrupt(context: Context) -> Messages:
        yield started()
        reading.wait(10)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        Silence().end(context)

    def read(completions: Completions) -> None:
        reading.set()
        next(completions)

    server.servicer.scripts.append(interrupt)
    with Client(server.target) as client, client.completions() as completions:
        with pytest.raises(KeyboardInterrupt):
            read(completions)
        server.servicer.complete(1)
        assert next(completions).sequence == 1


def _collected(
    completions: Completions, pool: ThreadPoolExecutor
) -> tuple[threading.Semaphore, Any]:
    """Iterate on another thread; the semaphore counts what came."""
    seen = threading.Semaphore(0)

    def collect() -> list[Completion]:
        found = []
        for completion in completions:
            found.append(completion)
            seen.release()
        return found

    return seen, pool.submit(collect)
