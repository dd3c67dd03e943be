"""P23: how far a PlaceOrders call reads ahead, what shares a commit, and what the call tells."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.access import EVERYBODY, Caller, Credential, Role
from orderintake_server.api.access import Call
from orderintake_server.api.placing import MAX_BYTES, MAX_UNACKNOWLEDGED, Placing
from orderintake_server.api.refusals import OrderRefusals, Refusals
from orderintake_server.api.responses import Responses
from orderintake_server.dispatch.admission import Limits
from orderintake_server.dispatch.inbox import CommitPolicy
from orderintake_server.errors import StoreRefused
from orderintake_server.ids import Ids
from support.desk import Desk, working
from support.faulty import FaultyStore
from support.logs import capture_logs
from support.orders import order
from support.placing import numbers, reasons

IDS = Ids("0badcafe")


class Line:
    """One call that a test sends messages on; `read` counts those that were read."""

    def __init__(self, desk: Desk) -> None:
        self.read = 0
        self.call = Call(
            caller=Caller(
                name="shop",
                credential=Credential.KEY,
                roles=frozenset({Role.CUSTOMER, Role.VIP}),
                customer=EVERYBODY,
            ),
            owner=None,
            peer=lambda: "unix:",
        )
        refusals = OrderRefusals(Refusals(IDS), desk.meters.calls, method="PlaceOrders")
        placing = Placing(desk.intake, self.call, Responses(IDS, desk.store.clock), refusals)
        self._messages: asyncio.Queue[list[api.PlaceOrderRequest] | Exception | None]
        self._messages = asyncio.Queue()
        self.responses: Any = placing.answers(self._sent())

    def send(self, *orders: api.PlaceOrderRequest) -> None:
        self._messages.put_nowait(list(orders))

    def end(self, error: Exception | None = None) -> None:
        self._messages.put_nowait(error)

    async def _sent(self) -> AsyncIterator[Any]:
        while (message := await self._messages.get()) is not None:
            if isinstance(message, Exception):
                raise message
            self.read += 1
            yield message

    async def next(self) -> api.PlaceOrdersResponse:
        return api.PlaceOrdersResponse.FromString(await anext(self.responses))

    async def results(self) -> list[api.PlaceOrdersResult]:
        """Read to the end of the call; give all results."""
        return [result async for each in self.responses for result in _results(each)]


def _results(response: bytes) -> list[api.PlaceOrdersResult]:
    return list(api.PlaceOrdersResponse.FromString(response).results)


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    async with working(Desk(store, limits=Limits(queue=100_000))) as desk:
        yield desk


async def accepting(store: FaultyStore) -> int:
    """Wait until a commit begins that accepts orders; tell how many."""
    while not (changes := await store.begun.get()).accepts:
        pass
    return len(changes.accepts)


async def settled() -> None:
    """Let everything happen that happens without a commit."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_p23_no_more_is_read_while_too_many_orders_have_no_result(desk: Desk) -> None:
    desk.store.hold()
    line = Line(desk)
    async with aclosing(line.responses):
        assert (await line.next()).max_unacknowledged == MAX_UNACKNOWLEDGED
        for _ in range(8):
            line.send(*[order()] * 300)
        await settled()
        assert line.read == 5, "the fifth message is read, and waits for results to be told"
        desk.store.let_go()
        found = (await line.next()).results
        await settled()
        assert line.read == 5, "what its caller has not taken counts"
        line.end()
        results = [*found, *await line.results()]
    assert (line.read, numbers(results)) == (8, list(range(1, 8 * 300 + 1)))


async def test_p23_no_more_is_read_while_too_much_has_no_result(desk: Desk) -> None:
    desk.store.hold()
    large = order(labels={str(n): "x" * 256 for n in range(16)})
    large.payload.type_url, large.payload.value = "t", bytes(60_000)
    line = Line(desk)
    async with aclosing(line.responses):
        await line.next()
        for _ in range(20):
            line.send(*[large] * 10)
        await settled()
        assert line.read == MAX_BYTES // (10 * 64_000) + 2
        desk.store.let_go()
        line.end()
        assert len(await line.results()) == 200


async def test_the_orders_of_messages_that_come_together_share_a_commit(desk: Desk) -> None:
    desk.store.hold()
    line = Line(desk)
    async with aclosing(line.responses):
        await line.next()
        line.send(order())
        assert await accepting(desk.store) == 1
        for _ in range(10):
            line.send(order(), order())
        await settled()
        desk.store.let_go()
        assert await accepting(desk.store) == 20
        line.end()
        assert numbers(await line.results()) == list(range(1, 22))


async def test_p5_too_many_orders_before_their_commit_are_refused_for_themselves(
    store: FaultyStore,
) -> None:
    async with working(Desk(store, commits=CommitPolicy(pending_orders=3))) as desk:
        line = Line(desk)
        async with aclosing(line.responses):
            await line.next()
            line.send(*[order()] * 5)
            line.end()
            results = await line.results()
    assert reasons(results) == ["", "", "", "QUEUE_FULL", "QUEUE_FULL"]


async def test_p22_a_full_disk_refuses_orders_and_the_call_goes_on(desk: Desk) -> None:
    line = Line(desk)
    async with aclosing(line.responses):
        await line.next()
        desk.store.fill()
        line.send(order())
        assert reasons(list((await line.next()).results)) == ["STORAGE_UNAVAILABLE"]
        desk.store.repair()
        line.send(order())
        line.end()
        assert numbers(await line.results()) == [1]


async def test_p22_an_order_that_the_store_refuses_is_an_incident_of_its_own(desk: Desk) -> None:
    line = Line(desk)
    async with aclosing(line.responses):
        await line.next()
        desk.store.fault = StoreRefused("secret")
        line.send(order(), order())
        with capture_logs() as log:
            results = list((await line.next()).results)
        desk.store.repair()
        line.end()
        await line.results()
    assert reasons(results) == ["INTERNAL", "INTERNAL"]
    assert "secret" not in str(results)
    incidents = {entry["incident_id"] for entry in log if "incident_id" in entry}
    assert len(incidents) == 2
    assert desk.meters.calls.refusals[("INTERNAL",)] == 2


async def test_what_ends_the_reading_is_raised_after_all_results(desk: Desk) -> None:
    line = Line(desk)
    line.send(order())
    line.end(ZeroDivisionError())
    await line.next()
    assert numbers(list((await line.next()).results)) == [1]
    with pytest.raises(ZeroDivisionError):
        await line.next()


async def test_p19_what_is_read_when_the_service_stops_is_answered(desk: Desk) -> None:
    desk.store.hold()
    line = Line(desk)
    async with aclosing(line.responses):
        await line.next()
        for _ in range(6):
            line.send(*[order()] * 300)
        await settled()
        desk.intake.refuse_orders()
        desk.store.let_go()
        found: list[str] = []
        while (response := await line.next()).signal != api.SIGNAL_GOING_AWAY:
            found += reasons(list(response.results))
        assert found == [""] * 1_200 + ["DRAINING"] * 300
        line.end()
        with pytest.raises(Exception, match="stopping"):
            await line.next()
    assert line.read == 6, "what is on its way is taken, and not answered"


async def test_p3_who_leaves_while_orders_are_stored_leaves_nothing_undone(desk: Desk) -> None:
    desk.store.hold()
    line = Line(desk)
    async with aclosing(line.responses):
        await line.next()
        line.send(*[order(request_id=f"r-{n}") for n in range(3)])
        assert await accepting(desk.store) == 3
    desk.store.let_go()
    again = Line(desk)
    again.send(*[order(request_id=f"r-{n}") for n in range(3)])
    again.end()
    results = await again.results()
    assert [result.receipt.replayed for result in results] == [True] * 3


async def test_the_call_tells_how_many_orders_it_had_and_how_many_were_refused(desk: Desk) -> None:
    line = Line(desk)
    line.send(order(), order(customer_id=""), order())
    line.end()
    await line.results()
    assert line.call.about == {"orders": 3, "refused": 1}
    assert desk.meters.calls.refusals[("INVALID_ORDER",)] == 1
