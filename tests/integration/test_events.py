"""Completions as server-sent events: P14 to P17, P19 and P26 as they are kept by HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import grpc
import pytest
from google.protobuf import any_pb2, wrappers_pb2

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.access import Role
from orderintake_server.config import Settings
from orderintake_server.handlers import OrderAttempt, Shop, simulate
from orderintake_server.service import running
from support.callers import entry, key_of, write_access
from support.connect import ADMIN, JSON_STREAM, asked, envelope, envelopes, opened
from support.events import STREAM, Events, Parser, Refused, all_of, events, frozen, sku_of
from support.gate import Gate
from support.http_port import until_reasons
from support.in_process import Stub, completions, read
from support.metrics import scrape
from support.orders import order
from support.watched import subscribers_become

BULK = {str(key): "x" * 256 for key in range(16)}
"""Labels that make an order of 4 KiB."""


class Served(NamedTuple):
    """A server that is told of by both transports."""

    port: int
    address: str
    stub: Stub

    async def place(self, *skus: str, **fields: Any) -> None:  # noqa: ANN401 - of an order
        for sku in skus:
            await self.stub.PlaceOrder(order(sku, **fields))


@asynccontextmanager
async def serving(
    data: Path,
    *,
    handler: Callable[[OrderAttempt], Any] = simulate,
    **settings: Any,  # noqa: ANN401 - whatever Settings take
) -> AsyncIterator[Served]:
    chosen = Settings(
        listen=("127.0.0.1:0",),
        http="127.0.0.1:0",
        data=data,
        **{"workers": 1, "max_attempts": 1, "drain_timeout": 5.0, "vip_reserve": 0.0, **settings},
    )
    async with (
        running(chosen, shop=Shop(handler=handler)) as service,
        grpc.aio.insecure_channel(service.addresses[0]) as channel,
    ):
        assert service.http_port
        yield Served(service.http_port, service.addresses[0], Stub(channel))


async def refused(port: int, **asked: Any) -> Refused:  # noqa: ANN401 - as `events` takes it
    with pytest.raises(Refused) as error:
        async with events(port, **asked):
            pass
    return error.value


async def test_a_stream_begins_tells_the_log_and_then_what_happens(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.place("a", "b")
        whole = await completions(served.stub, 2)
        async with events(served.port) as stream:
            started = await stream.named("started")
            assert await stream.skus(2) == ["a", "b"]
            caught_up = await stream.named("caught_up")
            await served.place("c")
            assert await stream.skus(1) == ["c"]
    assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert stream.headers["Cache-Control"] == "no-store"
    assert stream.headers["X-Accel-Buffering"] == "no"
    assert 1_000 <= (stream.parser.retry or 0) <= 3_000
    assert started.json == caught_up.json == {"headSequence": "2"}
    assert caught_up.last_id == whole[1].cursor


async def test_p14_from_every_cut_there_is_each_completion_comes_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.place(*"abcdef")
        await completions(served.stub, 6)
        text = await raw(served.port, "?maxBatchSize=2", until=b"event: caught_up")
        seen: dict[str, str] = {}
        for cut in range(len(text)):
            parser = Parser()
            found = [event for line in whole_lines(text[:cut]) if (event := parser.line(line))]
            skus = "".join(sku_of(event) for event in found if event.name == "message")
            assert seen.setdefault(parser.last_id, skus) == skus
        assert list(seen.values()) == ["", "", *("abcdef"[: n + 1] for n in range(6))]
        for last_id, skus in seen.items():
            async with events(served.port, last_id=last_id, startAt="START_AT_EARLIEST") as rest:
                assert skus + "".join(await rest.skus(6 - len(skus))) == "abcdef"
                await rest.named("caught_up")


def whole_lines(text: str) -> list[str]:
    """Give the lines that a reader takes: what is cut off in the middle is none."""
    return text.split("\n")[:-1]


async def raw(port: int, query: str, *, until: bytes) -> str:
    """Read a stream as text."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{STREAM}{query}") as answer,
    ):
        text = b""
        while until not in text:
            text += await answer.content.readany()
    return text.decode()


@pytest.mark.seconds
async def test_filters_and_p16_the_place_of_who_is_told_nothing_moves_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        quick: dict[str, Any] = {"heartbeatInterval": "1s"}
        async with (
            events(served.port, customerId="eve", **quick) as eve,
            events(served.port, tier="TIER_VIP", startAt="START_AT_LATEST") as vips,
        ):
            before = (await eve.named("caught_up")).last_id
            await vips.named("caught_up")
            await served.place("a", customer_id="bob")
            await served.place("b", customer_id="bob", vip=True)
            while (place := await eve.heartbeat()) == before:
                pass
            assert await vips.skus(1) == ["b"]
        whole = await completions(served.stub, 2)
        assert place == whole[1].cursor
        async with events(served.port, last_id=whole[0].cursor) as resumed:
            assert await resumed.skus(1) == [whole[1].order.lines[0].sku]


async def test_an_order_that_json_cannot_show_ends_nobodys_stream(tmp_path: Path) -> None:
    payload = any_pb2.Any(type_url="type.googleapis.com/shop.Unknown", value=b"\x01\x02\x03")
    async with serving(tmp_path) as served:
        placed = order("odd")
        placed.payload.CopyFrom(payload)
        await served.stub.PlaceOrder(placed)
        await served.place("next")
        async with events(served.port) as stream:
            first = await stream.named("message")
            assert await stream.skus(1) == ["next"]
    assert first.json["order"]["payload"] == {"@type": payload.type_url, "@base64": "AQID"}


# Refusals


async def test_what_is_refused_is_an_error_of_http_as_long_as_nothing_was_told(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, subscriber_limit=1) as served:
        bad = await refused(served.port, tier="VIP")
        cursor = await refused(served.port, last_id="no cursor")
        async with events(served.port) as first:
            await first.named("started")
            full = await refused(served.port)
        posted = await status_of(served.port, "PUT")
    assert (bad.status, bad.error["code"], bad.reason) == (400, "invalid_argument", "INVALID_ORDER")
    assert bad.error["details"][1]["debug"]["fieldViolations"][0]["field"] == "tier"
    assert (cursor.status, cursor.reason) == (400, "CURSOR_INVALID")
    assert (full.status, full.reason) == (429, "TOO_MANY_STREAMS")
    assert int(full.headers["Retry-After"]) >= 1
    assert posted == 405


async def status_of(port: int, verb: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.request(verb, f"http://127.0.0.1:{port}{STREAM}") as answer,
    ):
        return answer.status


async def test_p26_callers_see_by_http_what_they_see_by_grpc(tmp_path: Path) -> None:
    entries = [
        entry("shop", "customer", customer="*"),
        entry("ada", "customer", customer="ada"),
        entry("reader", Role.SUBSCRIBER.value),
        entry("vip", Role.VIP.value),
    ]
    access = write_access(tmp_path / "access.toml", entries)

    def said(name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key_of(name)}"}

    async with serving(tmp_path / "data", access=access) as served:
        metadata = (("authorization", f"Bearer {key_of('shop')}"),)
        for sku, customer in (("a", "ada"), ("b", "bob"), ("c", "ada")):
            await served.stub.PlaceOrder(order(sku, customer_id=customer), metadata=metadata)
        async with events(served.port, headers=said("reader")) as everything:
            assert await everything.skus(3) == ["a", "b", "c"]
        async with events(served.port, headers=said("ada")) as own:
            assert await own.skus(2) == ["a", "c"]
        others = await refused(served.port, headers=said("ada"), customerId="bob")
        none = await refused(served.port, headers=said("vip"))
        unknown = await refused(served.port)
    assert [each.status for each in (others, none, unknown)] == [403, 403, 401]
    assert unknown.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.seconds
async def test_a_right_that_ends_ends_the_stream_with_its_reason(tmp_path: Path) -> None:
    reader = entry("reader", Role.SUBSCRIBER.value)
    access = write_access(tmp_path / "access.toml", [reader])
    headers = {"Authorization": f"Bearer {key_of('reader')}"}
    async with (
        serving(tmp_path / "data", access=access) as served,
        events(served.port, headers=headers, heartbeatInterval="1s") as stream,
    ):
        await stream.named("started")
        write_access(access, [entry("another", Role.SUBSCRIBER.value)])
        end = (await all_of(stream))[-1]
    assert (end.name, end.json["code"]) == ("end", "unauthenticated")
    assert end.json["details"][0]["debug"]["metadata"]["problem"] == "EXPIRED"


# Ends


async def test_p19_a_stop_is_told_then_the_error_and_the_stream_ends(tmp_path: Path) -> None:
    async with AsyncExitStack() as server, AsyncExitStack() as reader:
        served = await server.enter_async_context(serving(tmp_path))
        stream: Events = await reader.enter_async_context(events(served.port))
        await stream.named("caught_up")
        await served.place("last")
        stopping = asyncio.create_task(server.aclose())
        last, going_away, end = await all_of(stream)
        await stopping
    assert (sku_of(last), going_away.name, end.name) == ("last", "going_away", "end")
    assert last.last_id == going_away.last_id == end.last_id
    assert end.json["code"] == "unavailable"
    assert end.json["details"][0]["debug"]["reason"] == "DRAINING"


async def test_who_comes_while_the_server_drains_is_told_what_ends_meanwhile(
    tmp_path: Path,
) -> None:
    """A browser's EventSource would be closed for good by any refusal."""
    gate = Gate()
    async with AsyncExitStack() as server:
        served = await server.enter_async_context(serving(tmp_path, handler=gate))
        await served.place("running")
        await gate.starts(1)
        stopping = asyncio.create_task(server.aclose())
        await until_reasons(served.port, ["draining"])
        async with events(served.port) as stream:
            await stream.named("caught_up")
            gate.open()
            last, going_away, end = await all_of(stream)
        await stopping
    assert (sku_of(last), going_away.name, end.name) == ("running", "going_away", "end")


async def test_operators_see_who_reads_and_by_which_protocol(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        by_grpc = served.stub.StreamCompletions(api.StreamCompletionsRequest())
        await read(by_grpc)
        body = envelope(b'{"customerId": "ada"}')
        async with events(served.port, tier="TIER_VIP") as by_events:
            await by_events.named("started")
            with ExitStack() as stack:
                by_connect = opened(served.port, STREAM, body, JSON_STREAM)
                response = await asyncio.to_thread(stack.enter_context, by_connect)
                await asyncio.to_thread(next, envelopes(response))
                listed = await asked(served.port, f"{ADMIN}/ListSubscribers", {})
        by_grpc.cancel()
    found = {each["transport"]: each for each in listed.json["subscribers"]}
    assert found.keys() == {"TRANSPORT_GRPC", "TRANSPORT_CONNECT", "TRANSPORT_EVENTS"}
    assert found["TRANSPORT_CONNECT"]["customerId"] == "ada"
    assert found["TRANSPORT_EVENTS"]["tier"] == "TIER_VIP"
    assert found["TRANSPORT_EVENTS"]["peer"].startswith("ipv4:127.0.0.1:")


async def test_leaving_ends_the_stream_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        async with AsyncExitStack() as stack:
            for _ in range(20):
                stream = events(served.port, heartbeatInterval="60s")
                await (await stack.enter_async_context(stream)).named("caught_up")
            await subscribers_become(served.address, 20)
        await subscribers_become(served.address, 0)
        ends = await scrape(served.port)
    assert ends.value("rpc_calls_total", method=STREAM[1:], code="CANCELLED") == 20
    assert ends.value("rpc_in_flight", method=STREAM[1:]) == 0


async def bulky(_: OrderAttempt) -> wrappers_pb2.BytesValue:
    """Return a result of 60 KB."""
    return wrappers_pb2.BytesValue(value=bytes(60_000))


@pytest.mark.seconds
async def test_p15_who_takes_nothing_is_ended_and_nobody_waits_for_it(tmp_path: Path) -> None:
    async with serving(tmp_path, handler=bulky, subscriber_timeout=1.0) as served:
        async with frozen(served.port), events(served.port) as reading:
            await subscribers_become(served.address, 2)
            skus = [str(number) for number in range(40)]
            placed = api.BatchPlaceOrdersRequest(requests=[order(sku) for sku in skus])
            await served.stub.BatchPlaceOrders(placed)
            assert await reading.skus(40) == skus
            await subscribers_become(served.address, 1)
            seen = await scrape(served.port)
        assert seen.value("stream_ends_total", reason="too_slow") == 1
        assert seen.value("rpc_calls_total", method=STREAM[1:], code="ABORTED") == 1


async def test_many_who_follow_are_told_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(events(served.port)) for _ in range(10)]
        async with asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(stream.skus(30)) for stream in streams]
            for number in range(30):
                await served.place(str(number), labels=BULK)
    assert {*chain(*[map(int, task.result()) for task in reading])} == set(range(30))
    assert all(task.result() == reading[0].result() for task in reading)
