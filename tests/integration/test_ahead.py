"""Calls that gRPC is asked for ahead: in their order, none lost, and none that holds up the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined] # grpcio's own

from orderintake_server.rpc import ahead
from orderintake_server.rpc.ahead import Asked
from support.supervised import until

METHOD = "/shop.Echo/Echo"
Echo = Callable[[bytes], Awaitable[bytes]]


class Handlers(grpc.GenericRpcHandler):
    """Answers every call with its request, and keeps them; counts the calls that began."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.begun = 0

    def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        """Give the one handler."""
        self.begun += 1
        return grpc.unary_unary_rpc_method_handler(self._echo)

    async def _echo(self, request: bytes, _: object) -> bytes:
        self.seen.append(request)
        return request


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[grpc.aio.Server, Handlers, Echo]]:
    """Serve, and give what calls the server."""
    handlers = Handlers()
    server = ahead.server((("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo: Any = channel.unary_unary(METHOD)
        yield server, handlers, echo
    async with asyncio.timeout(10):
        await server.stop(0)


def core(server: object) -> Any:  # noqa: ANN401 - grpcio's own
    """Give what a server is within."""
    return vars(server)["_server"]


async def kept(
    server: object, echo: Echo, count: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[Asked, list["asyncio.Task[bytes]"]]:
    """Place calls after a first one, and keep them from grpcio's loop until they all came."""
    await echo(b"connects")
    asked = core(server).asked
    monkeypatch.setattr(asked, "give", lambda: None)
    calls: list[Any] = [asyncio.ensure_future(echo(b"%d" % number)) for number in range(count)]
    await until(lambda: len(asked.came) == count)
    monkeypatch.undo()
    return asked, calls


async def test_many_more_calls_than_are_asked_for_are_all_answered() -> None:
    async with serving() as (_, handlers, echo):
        requests = [b"%d" % number for number in range(20 * ahead.AHEAD)]
        assert await asyncio.gather(*map(echo, requests)) == requests
    assert sorted(handlers.seen) == sorted(requests)


async def test_calls_of_one_caller_begin_in_their_order() -> None:
    async with serving() as (_, handlers, echo):
        await echo(b"connects")
        calls = []
        for number in range(3 * ahead.AHEAD):
            calls.append(echo(b"%d" % number))
            await asyncio.sleep(0)
        await asyncio.gather(*calls)
    assert handlers.seen[1:] == [b"%d" % number for number in range(3 * ahead.AHEAD)]


async def test_all_calls_that_are_there_begin_within_a_few_turns_of_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving() as (server, handlers, echo):
        asked, calls = await kept(server, echo, ahead.AHEAD, monkeypatch)
        assert handlers.begun == 1
        asked.give()
        await turns(5)  # grpcio alone takes five for each
        assert handlers.begun == 1 + ahead.AHEAD
        await asyncio.gather(*calls)


async def test_calls_that_came_and_were_not_begun_do_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving() as (server, handlers, echo):
        _, calls = await kept(server, echo, 3, monkeypatch)
        async with asyncio.timeout(10):
            await server.stop(None)
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [grpc.aio.AioRpcError] * 3
    assert handlers.seen == [b"connects"]


async def test_it_is_what_grpcio_of_this_version_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as (server, _, echo):
        assert await echo(b"asked") == b"asked"
        assert len(core(server).asked.coming) == ahead.AHEAD
    assert cygrpc.AioServer is ahead.CORE
    monkeypatch.setattr(ahead, "CORE", object)  # a version that asks in another way
    assert type(core(ahead.server(()))) is cygrpc.AioServer


class Played:
    """Calls that come when the test says so."""

    def __init__(self) -> None:
        self.coming: list[asyncio.Future[str]] = []

    async def ask(self) -> str:
        """Wait for one."""
        self.coming.append(asyncio.get_running_loop().create_future())
        return await self.coming[-1]


async def turns(count: int = 3) -> None:
    """Let the loop turn so often: what came arrives."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_calls_are_taken_as_they_came_and_what_was_raised_too() -> None:
    played = Played()
    asked = Asked(played.ask)
    first = asked.next()
    await turns()
    assert len(played.coming) == ahead.AHEAD
    played.coming[3].set_result("c")
    played.coming[0].set_exception(LookupError("no call"))
    played.coming[1].set_result("a")
    await turns()
    assert await first == "c"
    with pytest.raises(LookupError, match="no call"):
        await asked.next()
    assert await asked.next() == "a"
    await turns()
    assert len(played.coming) == ahead.AHEAD + 3 - 1  # who took the last asks with the next


async def test_who_waits_for_a_call_that_is_there_is_told_at_once() -> None:
    played = Played()
    asked = Asked(played.ask)
    first = asked.next()
    await turns()
    for number in (0, 1):
        played.coming[number].set_result(str(number))
    await turns()
    assert first.result() == "0"
    told: list[str] = []
    asked.next().add_done_callback(lambda call: told.append(call.result()))
    assert told == ["1"]
    asked.next().add_done_callback(lambda call: told.append(call.result()))
    played.coming[2].set_result("2")
    await turns()
    assert told == ["1", "2"]


async def test_who_waits_at_the_end_gets_one_more_and_the_others_are_let_go() -> None:
    played = Played()
    asked = Asked(played.ask)
    waits = asked.next()
    await turns()
    asked.close()
    for number, future in enumerate(played.coming):
        future.set_exception(LookupError(str(number)))
    await turns()
    with pytest.raises(LookupError, match="0"):
        await waits
    assert not asked.came
    assert not asked.coming
