"""P24, P25: what belongs to a customer stays its own: request_ids, batches, cursors, VIP."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import grpc
import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.access import AccessTable
from orderintake_server.access.entries import Entry, parse
from support.callers import Metadata, bearing, entry, key_of, write_access
from support.in_process import Stub, serving
from support.orders import order
from support.refusals import Refused, refusal_of, refused

ADA, BOB, SHOP = (bearing(key_of(name)) for name in ("ada", "bob", "shop"))
FILE = [
    entry("ada", "customer", customer="ada"),
    entry("bob", "customer", "vip", customer="bob"),
    entry("shop", "customer", "vip", customer="*"),
    entry("audit", "subscriber"),
]


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Stub]:
    access = write_access(tmp_path / "access.toml", FILE)
    async with serving(tmp_path / "data", access=access) as opened:
        yield opened


async def test_an_order_without_customer_is_the_callers_own(stub: Stub) -> None:
    receipt = await stub.PlaceOrder(order(customer_id=""), metadata=ADA)
    assert receipt.order.customer_id == "ada"
    batch = api.BatchPlaceOrdersRequest(requests=[order(customer_id=""), order()])
    receipts = (await stub.BatchPlaceOrders(batch, metadata=ADA)).receipts
    assert {each.order.customer_id for each in receipts} == {"ada"}


async def test_who_acts_for_all_must_name_the_customer(stub: Stub) -> None:
    found = await refusal_of(stub.PlaceOrder(order(customer_id=""), metadata=SHOP))
    assert (found.reason, found.fields) == ("INVALID_ORDER", ["customer_id"])


async def test_a_batch_with_anothers_order_is_refused_as_a_whole(stub: Stub) -> None:
    batch = api.BatchPlaceOrdersRequest(requests=[order(), order(customer_id="bob")])
    found = await refusal_of(stub.BatchPlaceOrders(batch, metadata=ADA))
    assert (found.reason, found.metadata) == ("NOT_ALLOWED", {"needs": "customer"})
    listed = await stub.ListOrders(api.ListOrdersRequest(), metadata=SHOP)
    assert not listed.orders


async def test_a_request_id_is_each_customers_own(stub: Stub) -> None:
    adas = await stub.PlaceOrder(order(customer_id="", request_id="one"), metadata=ADA)
    bobs = await stub.PlaceOrder(order("milk", customer_id="", request_id="one"), metadata=BOB)
    assert not bobs.replayed
    assert bobs.order.order_id != adas.order.order_id
    found = await refusal_of(
        stub.PlaceOrder(order("milk", customer_id="", request_id="one"), metadata=ADA)
    )
    assert (found.reason, found.metadata) == (
        "REQUEST_ID_REUSED",
        {"order_id": adas.order.order_id},
    )
    again = await stub.PlaceOrder(order("milk", request_id="one", customer_id="bob"), metadata=SHOP)
    assert (again.replayed, again.order.order_id) == (True, bobs.order.order_id)


async def test_p25_vip_is_a_right(stub: Stub) -> None:
    found = await refusal_of(stub.PlaceOrder(order(vip=True), metadata=ADA))
    assert (found.code, found.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")
    assert found.metadata == {"needs": "vip"}
    receipt = await stub.PlaceOrder(order(vip=True, customer_id=""), metadata=BOB)
    assert receipt.order.tier == order_pb2.TIER_VIP
    batch = api.BatchPlaceOrdersRequest(requests=[order(), order(vip=True)])
    found = await refusal_of(stub.BatchPlaceOrders(batch, metadata=ADA))
    assert found.metadata == {"needs": "vip"}


async def test_p25_a_replay_by_who_lost_vip_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: list[AccessTable] = []
    take = AccessTable.take

    def noted(table: AccessTable, found: Iterable[Entry]) -> None:
        tables.append(table)
        take(table, found)

    monkeypatch.setattr(AccessTable, "take", noted)
    access = write_access(tmp_path / "access.toml", FILE)
    asked = order(vip=True, customer_id="bob", request_id="one")
    async with serving(tmp_path / "data", access=access) as stub:
        await stub.PlaceOrder(asked, metadata=BOB)
        assert (await stub.PlaceOrder(asked, metadata=BOB)).replayed
        tables[0].take(parse(entry("bob", "customer", customer="bob")))
        found = await refusal_of(stub.PlaceOrder(asked, metadata=BOB))
    assert (found.reason, found.metadata) == ("NOT_ALLOWED", {"needs": "vip"})


async def read(
    stub: Stub, metadata: Metadata, after: str, count: int
) -> list[order_pb2.Completion]:
    stream = stub.StreamCompletions(
        api.StreamCompletionsRequest(after_cursor=after), metadata=metadata
    )
    found: list[order_pb2.Completion] = []
    while len(found) < count:
        message = await stream.read()
        assert isinstance(message, api.StreamCompletionsResponse)
        found += message.completions
    stream.cancel()
    return found


async def test_a_cursor_carries_no_right(stub: Stub) -> None:
    for name in ("ada", "bob", "ada", "bob"):
        await stub.PlaceOrder(order(customer_id=name), metadata=SHOP)
    everything = await read(stub, bearing(key_of("audit")), "", 4)
    assert [each.order.customer_id for each in everything] == ["ada", "bob", "ada", "bob"]
    theirs = await read(stub, ADA, everything[1].cursor, 1)
    assert [each.sequence for each in theirs] == [3]
    page = await stub.ListCompletions(
        api.ListCompletionsRequest(page_token=everything[0].cursor), metadata=ADA
    )
    assert [each.sequence for each in page.completions] == [3]


async def test_the_list_of_another_customer_is_refused_there_or_not(stub: Stub) -> None:
    await stub.PlaceOrder(order(customer_id="bob"), metadata=SHOP)
    found: list[Refused] = []
    for customer in ("bob", "zoe"):
        stream = stub.StreamCompletions(
            api.StreamCompletionsRequest(customer_id=customer), metadata=ADA
        )
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stream.read()
        found.append(refused(error.value))
    assert found[0] == found[1]
    assert (found[0].reason, found[0].metadata) == ("NOT_ALLOWED", {"needs": "customer"})
