"""A key or token goes with every call; one that has expired is renewed once, and by one for all."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any

import grpc
import pytest

from client.blocking import Connect
from client.fake_server import (
    UNAVAILABLE,
    Context,
    FakeServer,
    Messages,
    Refusal,
    message,
    started,
)
from orderintake import REGULAR, AsyncClient, Client, NotAllowed, Unauthenticated


def refusal(problem: str) -> Refusal:
    return Refusal(
        code=grpc.StatusCode.UNAUTHENTICATED,
        reason="UNAUTHENTICATED",
        metadata={"problem": problem},
    )


EXPIRED, INVALID, MISSING = refusal("EXPIRED"), refusal("INVALID"), refusal("MISSING")


class Issuer:
    """Gives a token after the other: t1, t2 …"""

    def __init__(self) -> None:
        self.given = 0
        self.threads: set[int] = set()

    def __call__(self) -> str:
        self.threads.add(threading.get_ident())
        self.given += 1
        return f"t{self.given}"


def shown(server: FakeServer) -> list[str | None]:
    return [each.get("authorization") for each in server.servicer.metadata]


def bearers(*tokens: str) -> list[str]:
    return [f"Bearer {token}" for token in tokens]


CALLS: dict[str, Callable[[Any], object]] = {
    "place": lambda client: client.place(customer_id="ada", lines={"tea": 1}),
    "place_batch": lambda client: client.place_batch([{"customer_id": "a", "lines": {"b": 1}}]),
    "get": lambda client: client.get("order-1"),
    "cancel": lambda client: client.cancel("CANCELLED"),
    "orders": lambda client: list(client.orders(page_size=100)),
    "list_completions": lambda client: list(client.list_completions()),
    "queue_stats": lambda client: client.queue_stats(),
    "pause_tier": lambda client: client.pause_tier(REGULAR),
    "resume_tier": lambda client: client.resume_tier(REGULAR),
    "redrive": lambda client: client.redrive("order-1"),
    "failures": lambda client: list(client.failures(page_size=100)),
    "first_failures": lambda client: client.first_failures(),
    "redrive_orders": lambda client: client.redrive_orders(codes=["A"], request_id="r"),
    "cancel_orders": lambda client: client.cancel_orders(tier=REGULAR, request_id="r"),
    "servers": lambda client: client.servers(),
    "subscribers": lambda client: client.subscribers(),
    "workers": lambda client: client.workers(),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_shows_the_key_and_nothing_where_there_is_none(
    server: FakeServer, connect: Connect, call: str
) -> None:
    with connect(server.target, api_key=" oik_1\n") as client:
        CALLS[call](client)
    with connect(server.target) as client:
        CALLS[call](client)
    assert shown(server) == ["Bearer oik_1", None]


@pytest.mark.parametrize("call", CALLS)
def test_every_call_is_repeated_once_with_another_token(
    server: FakeServer, connect: Connect, call: str
) -> None:
    server.servicer.endings.append(EXPIRED)
    with connect(server.target, token=Issuer()) as client:
        CALLS[call](client)
        CALLS[call](client)
    assert shown(server) == bearers("t1", "t2", "t2")
    assert server.servicer.requests[0] == server.servicer.requests[1]


def test_a_call_is_repeated_no_more_than_once(server: FakeServer, connect: Connect) -> None:
    server.servicer.endings += [EXPIRED, EXPIRED]
    with (
        connect(server.target, token=Issuer()) as client,
        pytest.raises(Unauthenticated) as caught,
    ):
        client.get("order-1")
    assert caught.value.problem == "EXPIRED"
    assert shown(server) == bearers("t1", "t2")


@pytest.mark.parametrize("problem", ["EXPIRED", "INVALID", "MISSING"])
@pytest.mark.parametrize("option", ["api_key", "token"])
def test_without_a_function_nothing_is_repeated(
    server: FakeServer, connect: Connect, problem: str, option: str
) -> None:
    server.servicer.endings.append(refusal(problem))
    with (
        connect(server.target, **{option: "t1"}) as client,
        pytest.raises(Unauthenticated) as caught,
    ):
        client.get("order-1")
    assert caught.value.problem == problem
    assert shown(server) == bearers("t1")


def test_a_token_that_is_not_valid_is_not_repeated_but_the_next_call_asks_for_another(
    server: FakeServer, connect: Connect
) -> None:
    server.servicer.endings += [INVALID, MISSING]
    with connect(server.target, token=Issuer()) as client:
        for _ in range(2):
            with pytest.raises(Unauthenticated):
                client.get("order-1")
        client.get("order-1")
    assert shown(server) == bearers("t1", "t2", "t2")


def test_who_may_not_is_told_what_it_needs(server: FakeServer, connect: Connect) -> None:
    server.servicer.endings.append(
        Refusal(
            code=grpc.StatusCode.PERMISSION_DENIED,
            reason="NOT_ALLOWED",
            metadata={"needs": "operator"},
        )
    )
    with connect(server.target, token=Issuer()) as client, pytest.raises(NotAllowed) as caught:
        client.queue_stats()
    assert caught.value.needs == "operator"
    assert shown(server) == bearers("t1")


def test_what_the_function_raises_is_raised_and_it_is_asked_again(
    server: FakeServer, connect: Connect
) -> None:
    answers: Iterator[object] = iter([LookupError("no issuer"), "t1"])

    def ask() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    with connect(server.target, token=ask) as client:
        with pytest.raises(LookupError, match="no issuer"):
            client.get("order-1")
        client.get("order-1")
    assert shown(server) == bearers("t1")


def test_of_many_threads_one_asks_for_all(server: FakeServer) -> None:
    calls = 12
    together = threading.Barrier(calls)

    class Expired(Refusal):
        def end(self, context: Context) -> None:
            together.wait(10)
            super().end(context)

    server.servicer.endings += [Expired(**vars(EXPIRED))] * calls
    issuer = Issuer()
    with Client(server.target, token=issuer) as client, ThreadPoolExecutor(calls) as threads:
        list(threads.map(client.get, ["order-1"] * calls))
    assert issuer.given == 2
    assert shown(server) == bearers(*["t1"] * calls, *["t2"] * calls)


async def test_a_plain_function_is_called_beside_the_event_loop(server: FakeServer) -> None:
    issuer = Issuer()
    async with AsyncClient(server.target, token=issuer) as client:
        await client.get("order-1")
    assert issuer.threads
    assert threading.get_ident() not in issuer.threads


async def test_an_async_function_is_awaited_on_the_event_loop(server: FakeServer) -> None:
    issuer = Issuer()

    async def ask() -> str:
        return issuer()

    server.servicer.endings.append(EXPIRED)
    for token in (ask, partial(ask)):
        async with AsyncClient(server.target, token=token) as client:
            await client.get("order-1")
    assert issuer.threads == {threading.get_ident()}
    assert shown(server) == bearers("t1", "t2", "t3")


def test_an_async_function_is_for_the_asynchronous_client_only(server: FakeServer) -> None:
    async def ask() -> str:
        return "t1"

    token: Any = ask
    with (
        Client(server.target, token=token) as client,
        pytest.raises(TypeError, match="is for AsyncClient only"),
    ):
        client.get("order-1")


async def test_a_function_without_more_tokens_does_not_hang(server: FakeServer) -> None:
    none: Iterator[str] = iter(())
    async with AsyncClient(server.target, token=none.__next__) as client:
        with pytest.raises(RuntimeError, match="has no more of them"):
            await client.get("order-1")


def test_a_stream_shows_it_and_goes_on_after_its_cursor_with_another(
    server: FakeServer, connect: Connect, lost: threading.Event
) -> None:
    server.servicer.complete(4)
    numbers = count(1)

    def expires_after_each(context: Context) -> Messages:
        number = next(numbers)
        yield started(f"c{number - 1}")
        yield message(number)
        EXPIRED.end(context)

    server.servicer.scripts += [expires_after_each] * 3
    with (
        connect(server.target, token=Issuer()) as client,
        client.completions() as completions,
    ):
        assert [next(completions).sequence for _ in range(4)] == [1, 2, 3, 4]
    assert [each.after_cursor for each in server.servicer.requests] == ["", "c1", "c2", "c3"]
    assert shown(server) == bearers("t1", "t2", "t3", "t4")
    assert not lost.is_set()


def test_a_token_that_expired_before_the_stream_began_is_renewed_once(
    server: FakeServer, connect: Connect
) -> None:
    def refuses(context: Context) -> Messages:
        EXPIRED.end(context)
        yield started()

    server.servicer.scripts.append(refuses)
    with connect(server.target, token=Issuer()) as client:
        with client.completions():
            pass
        server.servicer.scripts += [refuses, refuses]
        with pytest.raises(Unauthenticated), client.completions():
            pass
    assert shown(server) == bearers("t1", "t2", "t2", "t3")


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({"token": Issuer()}, INVALID),
        ({"token": "t1"}, EXPIRED),
        ({"api_key": "t1"}, EXPIRED),
        ({}, MISSING),
    ],
)
def test_a_stream_that_another_token_does_not_help_ends(
    server: FakeServer, connect: Connect, options: dict[str, Any], end: Refusal
) -> None:
    def ends(context: Context) -> Messages:
        yield started()
        yield message(1)
        end.end(context)

    server.servicer.scripts.append(ends)
    with connect(server.target, **options) as client, client.completions() as completions:
        assert next(completions).sequence == 1
        with pytest.raises(Unauthenticated):
            next(completions)
    assert len(server.servicer.requests) == 1


def test_a_subscription_goes_on_after_its_issuer_was_away(
    server: FakeServer, connect: Connect
) -> None:
    def expires(context: Context) -> Messages:
        yield started()
        yield message(1)
        EXPIRED.end(context)

    answers: Iterator[str] = iter(["t1", "", "t2"])
    server.servicer.complete(2)
    server.servicer.scripts.append(expires)
    with (
        connect(server.target, token=lambda: next(answers)) as client,
        client.completions() as completions,
    ):
        assert next(completions).sequence == 1
        with pytest.raises(ValueError, match=r"^token must be"):
            next(completions)
        assert next(completions).sequence == 2
    assert shown(server) == bearers("t1", "t2")


def test_a_stream_that_is_lost_shows_the_same_token_again(
    server: FakeServer, connect: Connect
) -> None:
    def is_lost(context: Context) -> Messages:
        yield started()
        UNAVAILABLE.end(context)

    server.servicer.complete(1)
    server.servicer.scripts.append(is_lost)
    with (
        connect(server.target, token=Issuer()) as client,
        client.completions() as completions,
    ):
        assert next(completions).sequence == 1
    assert shown(server) == bearers("t1", "t1")
