"""The server under test, as users' tests have it: held and released, its clock turned, audited."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from orderintake import Client
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2
from orderintake_server.dispatch.attempts import StopSignal
from orderintake_server.errors import StartupFailed
from orderintake_server.handlers import OrderAttempt
from orderintake_server.store.sqlite.database import NAME
from orderintake_server.testing import Clock, ServerUnderTest, server, serving
from support.in_process import Stub, completions
from support.lives import shop
from support.orders import order

HOUR = 3600.0


def attempt(number: int) -> OrderAttempt:
    return OrderAttempt(
        order_id=f"0123abcd-{number:012}",
        customer_id="ada",
        tier=order_pb2.TIER_VIP,
        lines=[],
        labels={},
        payload=None,
        accept_time=datetime(2026, 1, 1, tzinfo=UTC),
        attempt=1,
        signal=StopSignal(),
    )


class Starts:
    """Orders that ask the server under test whether they may reach the handler."""

    def __init__(self, tmp_path: Path) -> None:
        self.under_test = ServerUnderTest(tmp_path)
        self.passed: list[int] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *numbers: int) -> None:
        """Let these orders start."""
        for number in numbers:
            self._tasks.append(asyncio.create_task(self._start(number)))
        await self.settle()

    async def _start(self, number: int) -> None:
        await self.under_test.let_start(attempt(number))
        self.passed.append(number)

    async def settle(self) -> None:
        """Let everything happen that can."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def release(self, orders: int | None = None) -> None:
        self.under_test.release(orders)
        await self.settle()


@pytest.fixture
async def starts(tmp_path: Path) -> AsyncIterator[Starts]:
    """Orders that start, of which none is left waiting."""
    starts = Starts(tmp_path)
    yield starts
    await starts.release()


async def test_what_is_not_held_passes(starts: Starts) -> None:
    await starts.start(1, 2)
    assert starts.passed == [1, 2]


async def test_what_is_held_has_started_and_waits(starts: Starts) -> None:
    starts.under_test.hold()
    await starts.start(1, 2)
    assert len(await starts.under_test.starts(2)) == 2
    assert starts.passed == []
    await starts.release()
    assert starts.passed == [1, 2]


async def test_what_is_held_is_released_one_by_one_in_the_order_of_starts(starts: Starts) -> None:
    starts.under_test.hold()
    await starts.start(1, 2, 3, 4)
    await starts.release(1)
    assert starts.passed == [1]
    await starts.release(2)
    assert starts.passed == [1, 2, 3]
    await starts.start(5)
    assert starts.passed == [1, 2, 3]
    await starts.release(1)
    assert starts.passed == [1, 2, 3, 4]


async def test_a_release_may_come_before_the_start(starts: Starts) -> None:
    starts.under_test.hold()
    await starts.release(1)
    await starts.start(1, 2)
    assert starts.passed == [1]


async def test_who_is_released_goes_on_though_the_next_are_held_at_once(starts: Starts) -> None:
    starts.under_test.hold()
    await starts.start(1, 2)
    starts.under_test.release()
    starts.under_test.hold()
    await starts.start(3)
    assert starts.passed == [1, 2]


async def test_releases_that_nobody_used_are_forgotten_when_all_are_released(
    starts: Starts,
) -> None:
    starts.under_test.hold()
    await starts.release(5)
    await starts.release()
    starts.under_test.hold()
    await starts.start(1)
    assert starts.passed == []


async def test_who_was_cancelled_while_held_takes_no_release(starts: Starts) -> None:
    starts.under_test.hold()
    leaves = asyncio.create_task(starts.under_test.let_start(attempt(1)))
    await starts.settle()
    leaves.cancel()
    await starts.start(2)
    await starts.release(1)
    assert starts.passed == [2]


async def test_starts_are_waited_for_and_told_in_their_order(starts: Starts) -> None:
    waiting = asyncio.create_task(starts.under_test.starts(2))
    await starts.start(1)
    assert not waiting.done()
    await starts.start(2, 3)
    assert [started.order_id[-1] for started in await waiting] == ["1", "2"]
    assert len(starts.under_test.started) == 3


def test_the_clock_is_the_real_one_until_it_is_turned() -> None:
    turned: list[int] = []
    clock, real = Clock(), Clock()
    clock.on_turn = lambda: turned.append(1)
    assert abs(clock() - real()) < 60_000_000
    clock.turn(HOUR)
    assert abs(clock() - real() - 3_600_000_000) < 60_000_000
    assert turned == [1]


async def test_starts_that_do_not_come_are_told(starts: Starts) -> None:
    await starts.start(1)
    told = r"^2 starts did not come within 0.01 s, only 1: 0123abcd-0+1$"
    with pytest.raises(TimeoutError, match=told):
        await starts.under_test.starts(2, within=0.01)
    with pytest.raises(TimeoutError, match=r"^1 starts did not come within 0.02 s, only 0: none$"):
        await ServerUnderTest(Path(), patience=0.02).starts(1)


# A whole server


def stub(channel: grpc.aio.Channel) -> Stub:
    return api_grpc.OrderIntakeServiceStub(channel)


async def test_it_serves_at_its_address_what_its_settings_say(tmp_path: Path) -> None:
    async def reject_nothing(_: OrderAttempt) -> None:
        return None

    async with (
        server(data=tmp_path, handler=reject_nothing, workers=2) as under_test,
        grpc.aio.insecure_channel(under_test.address) as channel,
    ):
        placed = await stub(channel).PlaceOrder(order())
        (end,) = await completions(stub(channel), 1)
        assert end.order.order_id == placed.order.order_id
        await under_test.assert_rules_obeyed()


async def test_what_is_held_when_it_ends_is_let_go(tmp_path: Path) -> None:
    async with server(data=tmp_path, workers=1) as under_test:
        under_test.hold()
        async with grpc.aio.insecure_channel(under_test.address) as channel:
            await stub(channel).PlaceOrder(order())
            await under_test.starts(1)


async def test_what_is_due_by_the_turned_clock_happens(tmp_path: Path) -> None:
    async with shop(tmp_path, workers=0) as here:
        request = order()
        request.expire_time.FromMicroseconds(here.server.clock() + 3_600_000_000)
        receipt = await here.stub.PlaceOrder(request)
        here.server.clock.turn(HOUR)
        end = await here.completion(receipt)
    assert end.order.state == order_pb2.STATE_EXPIRED
    assert end.order.complete_time.ToMicroseconds() > request.expire_time.ToMicroseconds()


async def test_what_is_estimated_and_how_old_things_are_goes_by_the_turned_clock(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as here:
        await here.completion(await here.stub.PlaceOrder(order()))
        here.server.clock.turn(HOUR)
        here.server.hold()
        await here.stub.PlaceOrder(order())
        await here.server.starts(2)
        receipt = await here.stub.PlaceOrder(order())
        stands = await here.get(receipt.order.order_id)
    accepted = receipt.order.accept_time.ToMicroseconds()
    assert stands.estimated_start_time.ToMicroseconds() >= accepted
    assert receipt.estimated_start_time.ToMicroseconds() >= accepted


@pytest.mark.parametrize(
    ("break_it", "rule"),
    [
        ("DELETE FROM log WHERE sequence = 1", "the log begins after"),
        ("UPDATE counters SET accepted = 0", "accept sequences were all given"),
        ("UPDATE log SET failure_code = 'X'", "a failed order has a failure"),
        ("DELETE FROM orders", "nothing stands for an order"),
    ],
)
async def test_a_broken_rule_is_named(tmp_path: Path, break_it: str, rule: str) -> None:
    async with shop(tmp_path) as here:
        await here.completion(await here.stub.PlaceOrder(order()))

    def break_store() -> None:
        with closing(sqlite3.connect(tmp_path / NAME)) as connection, connection:
            connection.execute(break_it)

    await asyncio.to_thread(break_store)
    with pytest.raises(AssertionError, match=rule):
        await ServerUnderTest(tmp_path).assert_rules_obeyed()


async def test_orders_that_started_in_the_wrong_order_are_named(tmp_path: Path) -> None:
    async with shop(tmp_path, workers=0) as here:
        placed = api.BatchPlaceOrdersRequest(requests=[order(), order(), order(vip=True)])
        await here.stub.BatchPlaceOrders(placed)
    async with shop(tmp_path) as here:
        await completions(here.stub, 3)

    def let_the_first_have_started_before_the_vip_order() -> None:
        with closing(sqlite3.connect(tmp_path / NAME)) as connection, connection:
            for swap in (
                "UPDATE starts SET accept_sequence = 4 - accept_sequence",  # 2 stays 2
                "UPDATE log SET accept_sequence = -accept_sequence WHERE accept_sequence <> 2",
                "UPDATE log SET accept_sequence = 4 + accept_sequence WHERE accept_sequence < 0",
            ):
                connection.execute(swap)

    await asyncio.to_thread(let_the_first_have_started_before_the_vip_order)
    with pytest.raises(AssertionError, match=r"while a more urgent one waits: .*1 before order 3"):
        await ServerUnderTest(tmp_path).assert_rules_obeyed()


async def test_without_a_store_no_rule_can_be_checked(tmp_path: Path) -> None:
    with pytest.raises(StartupFailed, match="there is no store"):
        await ServerUnderTest(tmp_path).assert_rules_obeyed()


async def test_a_stop_that_does_not_end_is_told(tmp_path: Path) -> None:
    released = asyncio.Event()

    async def never_end(_: OrderAttempt) -> None:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()

    shop = server(data=tmp_path, handler=never_end, workers=1, drain_timeout=0, patience=0.3)
    under_test = await shop.__aenter__()
    async with grpc.aio.insecure_channel(under_test.address) as channel:
        await stub(channel).PlaceOrder(order())
        await under_test.starts(1, within=10)
    asyncio.get_running_loop().call_later(0.5, released.set)
    with pytest.raises(TimeoutError, match=r"^the server did not stop, .* within 0.3 s$"):
        await shop.__aexit__(None, None, None)


async def test_a_failure_of_the_test_itself_passes_through(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match=r"^mine$"):
        async with server(data=tmp_path):
            raise TimeoutError("mine")


# In a thread of its own


def test_a_plain_test_holds_releases_turns_and_checks(tmp_path: Path) -> None:
    with serving(data=tmp_path, workers=1) as shop, Client(shop.address) as client:
        shop.hold()
        receipt = client.place(customer_id="ada", lines={"tea": 1})
        (started,) = shop.starts(1)
        assert started.order_id == shop.started[0].order_id == receipt.order.order_id
        late = client.place(customer_id="ada", lines={"tea": 1}, expire_time=timedelta(hours=1))
        before = shop.clock()
        shop.clock.turn(HOUR + 1)
        assert shop.clock() - before >= 3_600_000_000
        with client.completions(after=late.cursor) as completions:
            assert next(completions).order.state == order_pb2.STATE_EXPIRED
            shop.release(1)
            assert next(completions).order.state == order_pb2.STATE_SUCCEEDED
        shop.release()
        shop.assert_rules_obeyed()


def test_a_plain_test_is_told_what_did_not_come(tmp_path: Path) -> None:
    with serving(data=tmp_path, workers=1, patience=5.0) as shop:
        with pytest.raises(TimeoutError, match=r"^1 starts did not come within 0.01 s, only 0"):
            shop.starts(1, within=0.01)
        with pytest.raises(StartupFailed), serving(data=tmp_path):
            raise AssertionError("it started")


@pytest.mark.seconds
def test_a_plain_test_is_told_that_a_handler_blocks_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderintake_server.testing.threads.SLACK_SECONDS", 0.1)
    goes_on = threading.Event()

    async def block(_: OrderAttempt) -> None:
        while not goes_on.is_set():  # as a call that blocks, without one that a fixture forbids
            pass

    with serving(data=tmp_path, handler=block, workers=1, patience=2.0) as shop:
        with Client(shop.address) as client:
            client.place(customer_id="ada", lines={"tea": 1})
        try:
            with pytest.raises(TimeoutError, match="does a handler block it"):
                shop.starts(2)
        finally:
            goes_on.set()
