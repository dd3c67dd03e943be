"""P1, P2, P6, P8, P9, P10, P14: kill -9 at any moment loses nothing and repeats nothing."""

import asyncio
import contextlib
import random
from collections import deque
from pathlib import Path

import grpc
import pytest
import structlog

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.in_process import Stub, completions
from support.orders import order
from support.process import ServerProcess, server_process, serving_process
from support.remains import Remains, check_starts, remains
from support.remote_gate import remote_gate

log = structlog.get_logger()

PLACERS = 6
WORKERS = 4
CALL_SECONDS = 30
PROCESSING_TIMES = ["0s"] * 14 + ["0.002s"] * 5 + ["0.03s"]
MOMENTS = ["while starting", "while recovering", *["after receipts", "after completions"] * 3]


class Storm:
    """Orders placed and completions seen over many lives of one server."""

    def __init__(self, data: Path, *, seed: int) -> None:
        self.lives: list[Remains] = []
        self.order_ids: dict[str, str] = {}
        self.completions: list[order_pb2.Completion] = []
        self.codes: set[grpc.StatusCode] = set()
        self._data = data
        self._chance = random.Random(seed)
        self._cursor = ""
        self._made = 0
        self._unanswered: deque[api.PlaceOrderRequest] = deque()
        self._countdown: dict[str, int] = {}
        self._is_time = asyncio.Event()

    async def live_and_die(self) -> None:
        """Run a server under load, and kill it at some moment."""
        moment = self._chance.choice(MOMENTS)
        if moment.startswith("after"):
            await self._die_at_work(moment)
        else:
            self._die_at_birth(moment)
        self.lives.append(remains(self._data))

    def _die_at_birth(self, moment: str) -> None:
        with server_process(self._data, waits=False) as server:
            if moment == "while recovering":
                server.wait_for("store opened")
            else:
                _wait_at_most(server, seconds=self._chance.uniform(0, 0.6))

    async def _die_at_work(self, moment: str) -> None:
        self._countdown = {moment: self._chance.randint(1, 60)}
        self._is_time.clear()
        async with (
            serving_process(self._data, "--workers", str(WORKERS)) as (server, stub),
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(PLACERS):
                tasks.create_task(self._place(stub))
            tasks.create_task(self._subscribe(stub))
            await self._is_time.wait()
            assert server.is_running()
            server.kill()

    async def settle(self) -> None:
        """Place all that was not answered and some more with no worker; then let one do all."""
        async with serving_process(self._data, "--workers", "0") as (server, stub):
            self._unanswered.extend(self._new_request() for _ in range(100))
            while self._unanswered:
                request = self._unanswered.popleft()
                self._acknowledge(request, await stub.PlaceOrder(request, timeout=CALL_SECONDS))
            assert await server.stops() == 0
        self.lives.append(remains(self._data))
        async with serving_process(self._data, "--workers", "1") as (server, stub):
            rest = len(self.order_ids) - len(self.completions)
            self.completions += await completions(stub, rest, after=self._cursor)
            assert await completions(stub, len(self.order_ids)) == self.completions
            assert await server.stops() == 0
        self.lives.append(remains(self._data))

    def cut_short(self) -> int:
        """Count the attempts that kills cut short."""
        return sum(c.order.attempt_count - 1 for c in self.completions)

    async def _place(self, stub: Stub) -> None:
        """Place orders, first those that were not answered, until the server is gone."""
        while True:
            request = self._unanswered.popleft() if self._unanswered else self._new_request()
            try:
                receipt = await stub.PlaceOrder(request, timeout=CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                self.codes.add(error.code())
                self._unanswered.append(request)
                self._is_time.set()
                return
            self._acknowledge(request, receipt)
            self._count("after receipts")

    def _new_request(self) -> api.PlaceOrderRequest:
        """Make an order; some are placed twice, by two callers at once."""
        self._made += 1
        request = order(
            vip=self._chance.random() < 0.3,
            request_id=f"request-{self._made}",
            labels={"processing_time": self._chance.choice(PROCESSING_TIMES)},
        )
        if self._chance.random() < 0.1:
            self._unanswered.append(request)
        return request

    def _acknowledge(self, request: api.PlaceOrderRequest, receipt: api.PlaceOrderResponse) -> None:
        """Check P2: one request_id is one order, for ever."""
        known = self.order_ids.setdefault(request.request_id, receipt.order.order_id)
        assert known == receipt.order.order_id

    async def _subscribe(self, stub: Stub) -> None:
        """Go on from the last cursor until the server is gone."""
        call = stub.StreamCompletions(api.StreamCompletionsRequest(after_cursor=self._cursor))
        try:
            async for message in call:
                self.completions += message.completions
                self._cursor = message.cursor
                self._count("after completions", len(message.completions))
        except grpc.aio.AioRpcError as error:
            self.codes.add(error.code())

    def _count(self, moment: str, count: int = 1) -> None:
        """Let it be time when enough of what is waited for has happened."""
        if moment in self._countdown:
            self._countdown[moment] -= count
            if self._countdown[moment] <= 0:
                self._is_time.set()


def _wait_at_most(server: ServerProcess, *, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        server.wait_for("listening", seconds=seconds)


async def _weather(data: Path, *, lives: int, seed: int) -> None:
    """Kill a server in each of many lives, and check everything that was promised."""
    storm = Storm(data, seed=seed)
    for _ in range(lives):
        await storm.live_and_die()
    await storm.settle()
    log.info("storm over", lives=lives, orders=len(storm.order_ids), cut_short=storm.cut_short())
    assert storm.codes == {grpc.StatusCode.UNAVAILABLE}
    ended = [c.order.order_id for c in storm.completions]
    assert len(ended) == len(set(ended))
    assert set(ended) == set(storm.order_ids.values())
    assert [c.sequence for c in storm.completions] == list(range(1, len(ended) + 1))
    assert len(storm.lives[-1].tiers) == len(storm.order_ids)
    assert storm.cut_short() > lives / 2
    check_starts(storm.lives)
    last = storm.completions[len(storm.lives[-2].ended) :]
    assert len(last) >= 100
    assert last == sorted(last, key=lambda c: (-c.order.tier, c.order.accept_sequence))


@pytest.mark.always
async def test_p1_p10_five_kills_lose_no_order_and_complete_each_once_in_the_order_of_starts(
    tmp_path: Path,
) -> None:
    await _weather(tmp_path, lives=5, seed=3)


@pytest.mark.seconds
@pytest.mark.timeout(300)
async def test_p1_p10_twenty_kills_lose_no_order_and_complete_each_once_in_the_order_of_starts(
    tmp_path: Path,
) -> None:
    await _weather(tmp_path, lives=20, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3_000)
async def test_p1_p10_five_hundred_kills_lose_no_order_and_complete_each_once(
    tmp_path: Path,
) -> None:
    await _weather(tmp_path, lives=500, seed=2)


@pytest.mark.always
async def test_p8_orders_that_a_kill_interrupted_start_again_in_their_old_places(
    tmp_path: Path,
) -> None:
    async with remote_gate() as gate:
        async with serving_process(tmp_path, "--workers", "3", *gate.arguments, env=gate.env) as (
            server,
            stub,
        ):
            for sku in ("regular 1", "regular 2", "vip 1", "regular 3", "vip 2"):
                await stub.PlaceOrder(order(sku, vip=sku.startswith("vip")))
            await gate.starts(3)
            server.kill()
        await gate.let_through(8)
        async with serving_process(tmp_path, "--workers", "1", *gate.arguments, env=gate.env) as (
            server,
            stub,
        ):
            assert server.log[0]["recovered"] == 3
            found = await completions(stub, 5)
    assert [(c.order.lines[0].sku, c.order.attempt_count) for c in found] == [
        ("vip 1", 2),
        ("vip 2", 1),
        ("regular 1", 2),
        ("regular 2", 2),
        ("regular 3", 1),
    ]
    assert [c.order.start_sequence for c in found] == [4, 5, 6, 7, 8]
