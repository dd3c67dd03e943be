"""P14, P19 over several replicas: who loses one goes on at another, whatever ended it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import pytest

from orderintake import AsyncClient, Unavailable
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.in_process import completions, read
from support.orders import order
from support.proxy import Proxy, proxy
from support.replicas import Replica, Replicas, replicas

ROUNDS = 25
MOVED = 300
IN_FLIGHT = 60
PLACERS = 6
STORMY = (
    *("--workers", "3", "--lease", "0.5", "--drain-timeout", "0.1"),
    *("--max-crashes", "1000"),
)
NOTIFY = pytest.mark.parametrize("notify", ["true", "false"])


@pytest.mark.seconds
@NOTIFY
async def test_p14_a_cursor_of_one_replica_is_good_at_another_at_once(notify: str) -> None:
    async with asyncio.timeout(20), replicas("--notify", notify) as here:
        a, b = await here.start("a"), await here.start("b", "--workers", "0")
        for _ in range(ROUNDS):
            first = await a.place(order())
            done = await a.completion(first)
            page = await b.stub.ListCompletions(api.ListCompletionsRequest(page_token=done.cursor))
            assert not page.completions
            done = await a.completion(await a.place(order()))
            second = await a.place(order())
            (after,) = await completions(b.stub, 1, after=done.cursor)
            assert after.order.order_id == second.order.order_id
            assert after == await b.completion(second) == await a.completion(second)
            assert done == (await completions(b.stub, 2, after=first.cursor))[1]


@pytest.mark.seconds
@NOTIFY
async def test_p14_what_was_completed_before_is_not_repeated_from_latest_at_another_replica(
    notify: str,
) -> None:
    async with asyncio.timeout(20), replicas("--notify", notify) as here:
        a, b = await here.start("a"), await here.start("b", "--workers", "0")
        for _ in range(ROUNDS):
            done = await a.completion(await a.place(order()))
            stream = b.stub.StreamCompletions(
                api.StreamCompletionsRequest(start_at=api.START_AT_LATEST)
            )
            assert (await read(stream)).head_sequence >= done.sequence
            receipt = await b.place(order())
            while not (message := await read(stream)).completions:
                pass
            assert message.completions[0].order.order_id == receipt.order.order_id
            assert message.completions[0].sequence == done.sequence + 1
            stream.cancel()


@pytest.mark.seconds
@NOTIFY
async def test_p14_a_client_of_a_killed_replica_goes_on_at_another_exactly_once(
    notify: str,
) -> None:
    async with asyncio.timeout(20), replicas("--notify", notify, "--lease", "1") as here:
        a, b = await here.start("a"), await here.start("b")
        async with (
            proxy(a.address) as way,
            AsyncClient(way.address) as client,
            client.completions() as stream,
        ):
            placing = asyncio.create_task(_place_many(b, MOVED))
            found = [await anext(stream) for _ in range(MOVED // 3)]
            way.target = b.address
            a.process.kill()
            found += [await anext(stream) for _ in range(MOVED - len(found))]
            placed = await placing
    assert [c.sequence for c in found] == list(range(1, MOVED + 1))
    assert {c.order.order_id for c in found} == placed


async def _place_many(replica: Replica, orders: int) -> set[str]:
    """Place orders one after the other; tell their ids."""
    labels = {"processing_time": "0.01s"}
    return {(await replica.place(order(labels=labels))).order.order_id for _ in range(orders)}


@dataclass(kw_only=True)
class Load:
    """Callers that place orders while as many as may be are in flight, and one who follows."""

    target: str
    placed: set[str] = field(default_factory=set)
    found: list[order_pb2.Completion] = field(default_factory=list)
    is_over: bool = False
    _in_flight: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))
    _numbers: "count[int]" = field(default_factory=count)
    _grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def place(self) -> None:
        """Place orders until it is over, each until it is known to be stored."""
        async with AsyncClient(self.target) as client:
            while not self.is_over:
                await self._in_flight.acquire()
                number = next(self._numbers)
                time = "0.4s" if number % 5 == 0 else "0.005s"
                self.placed.add(await _placed(client, f"request-{number}", time))

    async def follow(self) -> None:
        """Read completions, from the first, until it is over and all that was placed has ended."""
        async with AsyncClient(self.target) as client, client.completions() as stream:
            async for completion in stream:
                self.found.append(completion)
                self._in_flight.release()
                async with self._grown:
                    self._grown.notify_all()
                if self.is_over and len(self.found) == len(self.placed):
                    return

    async def goes_on(self, completions: int) -> None:
        """Wait until so many more completions have come."""
        enough = len(self.found) + completions
        async with self._grown:
            await self._grown.wait_for(lambda: len(self.found) >= enough)


async def _placed(client: AsyncClient, request_id: str, processing_time: str) -> str:
    while True:
        try:
            receipt = await client.place(
                customer_id="ada",
                lines={"tea": 1},
                request_id=request_id,
                labels={"processing_time": processing_time},
            )
        except Unavailable:
            continue  # its five attempts fell into one restart
        return receipt.order.order_id


@dataclass(kw_only=True)
class Way:
    """An address that stays, and the replica behind it, which is stopped and started anew."""

    name: str
    replica: Replica
    proxy: Proxy

    async def stop(self, here: Replicas) -> None:
        """Stop the replica in order, and start another in its place."""
        assert await self.replica.process.stops() == 0
        await self._start(here)

    async def kill(self, here: Replicas) -> None:
        """End the replica in the middle of whatever it does, and start another in its place."""
        self.replica.process.kill()
        await self._start(here)

    async def freeze(self, here: Replicas) -> None:
        """Freeze the replica until it has expired; nobody is led to it meanwhile."""
        self.replica.freeze()
        self.proxy.target = "127.0.0.1:1"
        self.proxy.cut()
        alive = f"SELECT count(*) FROM orderintake.sessions WHERE replica = '{self.name}'"  # noqa: S608
        while await here.ask(alive) != "0":
            pass
        self.replica.thaw()
        self.proxy.target = self.replica.address

    async def _start(self, here: Replicas) -> None:
        self.replica = await here.start(self.name)
        self.proxy.target = self.replica.address


@asynccontextmanager
async def _ways(here: Replicas, names: str) -> AsyncIterator[list[Way]]:
    async with AsyncExitStack() as stack:
        ways = []
        for name in names:
            replica = await here.start(name)
            way = await stack.enter_async_context(proxy(replica.address))
            ways.append(Way(name=name, replica=replica, proxy=way))
        yield ways


@pytest.mark.seconds
async def test_p19_replicas_restarted_in_turn_under_load_lose_nothing_and_give_back_at_once() -> (
    None
):
    async with (
        asyncio.timeout(50),  # too soon for whatever is not given back
        replicas("--workers", "4", "--drain-timeout", "0.1", "--lease", "60") as here,
        _ways(here, "abc") as ways,
    ):
        load = Load(target="ipv4:" + ",".join(way.proxy.address for way in ways))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.follow())
            placing = [tasks.create_task(load.place()) for _ in range(PLACERS)]
            for way in ways:
                await load.goes_on(50)
                await way.stop(here)
            await load.goes_on(50)
            load.is_over = True
            await asyncio.wait(placing)
        again = await completions(ways[0].replica.stub, len(load.found))

    assert again == load.found
    assert [c.sequence for c in load.found] == list(range(1, len(load.found) + 1))
    assert {c.order.order_id for c in load.found} == load.placed
    assert {c.order.attempt_count for c in load.found} == {1}
    starts = {c.order.start_sequence for c in load.found}
    assert max(starts) > len(starts)  # some were interrupted


@pytest.mark.seconds
@pytest.mark.timeout(120)
async def test_p10_p14_whatever_befalls_replicas_each_order_completes_once_in_one_order() -> None:
    chance = random.Random(14)
    async with (
        asyncio.timeout(100),
        replicas(*STORMY) as here,
        _ways(here, "abc") as ways,
    ):
        load = Load(target="ipv4:" + ",".join(way.proxy.address for way in ways))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.follow())
            placing = [tasks.create_task(load.place()) for _ in range(PLACERS)]
            for befall in (Way.kill, Way.freeze, Way.stop) * 3:
                await load.goes_on(20)
                await befall(chance.choice(ways), here)
            await load.goes_on(20)
            load.is_over = True
            await asyncio.wait(placing)
        again = await completions(ways[0].replica.stub, len(load.found))

    assert again == load.found
    assert [c.sequence for c in load.found] == list(range(1, len(load.found) + 1))
    assert {c.order.order_id for c in load.found} == load.placed
    assert {c.order.state for c in load.found} == {order_pb2.STATE_SUCCEEDED}
    assert max(c.order.attempt_count for c in load.found) > 1
