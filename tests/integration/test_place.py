"""P1 to P4 over a real channel: receipts, idempotency, callers who leave, refusals."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, wrappers_pb2

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from support.gate import Gate
from support.in_process import Stub, completions, serving
from support.orders import order
from support.refusals import refusal_of, refused


async def test_p1_a_receipt_tells_the_order_as_stored(tmp_path: Path) -> None:
    request = order("tea", vip=True, labels={"table": "7"})
    request.payload.Pack(wrappers_pb2.StringValue(value="no sugar"))
    async with serving(tmp_path, workers=0) as stub:
        receipt = await stub.PlaceOrder(request)
        found = await stub.GetOrder(api.GetOrderRequest(order_id=receipt.order.order_id))

    assert receipt.durability == api.DURABILITY_FSYNC
    assert not receipt.replayed
    assert receipt.order.state == order_pb2.STATE_QUEUED
    assert receipt.order.accept_sequence == 1
    assert receipt.order.tier == order_pb2.TIER_VIP
    assert receipt.order.lines == request.lines
    assert receipt.order.labels == request.labels
    assert receipt.order.payload == request.payload
    assert found.order == receipt.order
    assert not found.HasField("completion")


async def test_p2_two_hundred_callers_with_one_request_id_get_one_order(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=1) as stub:
        same = order("tea", request_id="r-1")
        receipts = await asyncio.gather(*(stub.PlaceOrder(same) for _ in range(200)))
        other = await refusal_of(stub.PlaceOrder(order("cake", request_id="r-1")))

    assert {receipt.order.order_id for receipt in receipts} == {receipts[0].order.order_id}
    assert sum(not receipt.replayed for receipt in receipts) == 1
    assert other.code == grpc.StatusCode.ALREADY_EXISTS
    assert other.reason == "REQUEST_ID_REUSED"
    assert other.metadata == {"order_id": receipts[0].order.order_id}


async def test_p2_a_replay_after_a_restart_tells_how_the_order_ended(tmp_path: Path) -> None:
    request = order("tea", request_id="r-1")
    async with serving(tmp_path) as stub:
        first = await stub.PlaceOrder(request)
        await completions(stub, 1)
    async with serving(tmp_path) as stub:
        again = await stub.PlaceOrder(request)
        (completion,) = await completions(stub, 1, after=again.cursor)

    assert again.replayed
    assert again.order.order_id == first.order.order_id
    assert again.order.state == order_pb2.STATE_SUCCEEDED
    assert completion.order == again.order


async def test_p2_another_customer_may_use_the_same_request_id(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=0) as stub:
        ada = await stub.PlaceOrder(order(request_id="r-1", customer_id="ada"))
        bob = await stub.PlaceOrder(order(request_id="r-1", customer_id="bob"))
    assert ada.order.order_id != bob.order.order_id


async def test_p3_a_caller_who_leaves_loses_the_answer_not_the_order(tmp_path: Path) -> None:
    placed = [order(request_id=f"r-{number}") for number in range(20)]
    async with serving(tmp_path) as stub:
        with held(tmp_path / "orders.db"):
            for request in placed:
                call = stub.PlaceOrder(request)
                # Answered by the same connection: the order before it has reached the service.
                await refusal_of(stub.GetOrder(api.GetOrderRequest(order_id="another")))
                assert call.cancel()
        receipts = [await stub.PlaceOrder(request) for request in placed]
        found = await completions(stub, len(placed))

    assert sum(receipt.replayed for receipt in receipts) > len(placed) / 2
    assert {c.order.order_id for c in found} == {r.order.order_id for r in receipts}


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Keep everybody else from writing to a database meanwhile."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_p4_every_bad_field_is_named_and_nothing_is_stored(tmp_path: Path) -> None:
    bad = api.PlaceOrderRequest(
        request_id="tab\t",
        tier=order_pb2.Tier.ValueType(9),
        lines=[order_pb2.OrderLine(sku="", quantity=0)],
        labels={"": "x"},
        payload=any_pb2.Any(value=b"x"),
    )
    async with serving(tmp_path, workers=0) as stub:
        refusal = await refusal_of(stub.PlaceOrder(bad))
        batch = await refusal_of(
            stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=[order(), bad]))
        )
        after = await stub.PlaceOrder(order())

    named = [
        *("request_id", "customer_id", "tier", "lines[0].sku", "lines[0].quantity"),
        *("labels['']", "payload.type_url"),
    ]
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_ORDER"
    assert refusal.fields == named
    assert batch.fields == [f"requests[1].{field}" for field in named]
    assert after.order.accept_sequence == 1


async def test_p5_a_full_queue_refuses_with_a_time_to_come_back(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, handler=gate, queue_limit=3) as stub:
        await stub.PlaceOrder(order())
        await gate.starts(1)
        waiting = await asyncio.gather(*(stub.PlaceOrder(order()) for _ in range(2)))
        named = await stub.PlaceOrder(order(request_id="r-1"))
        refusal = await refusal_of(stub.PlaceOrder(order(vip=True)))
        replay = await stub.PlaceOrder(order(request_id="r-1"))
        gate.open()
        await completions(stub, 4)
        await stub.PlaceOrder(order())

    assert refusal.code == grpc.StatusCode.UNAVAILABLE
    assert refusal.reason == "QUEUE_FULL"
    assert refusal.retry_seconds
    assert refusal.pushback_ms == str(round(refusal.retry_seconds * 1000))
    assert replay.replayed
    assert replay.order.order_id == named.order.order_id
    assert len(waiting) == 2


async def test_p5_the_limit_is_exact_however_many_callers_race(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=0, queue_limit=100) as stub:
        outcomes = await asyncio.gather(
            *(stub.PlaceOrder(order()) for _ in range(150)), return_exceptions=True
        )
    refusals = [o for o in outcomes if isinstance(o, grpc.aio.AioRpcError)]
    assert len(refusals) == 50


@pytest.mark.seconds
async def test_three_thousand_calls_at_once_all_have_an_answer_of_ours(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=0) as stub:
        receipts = await asyncio.gather(*(stub.PlaceOrder(order()) for _ in range(3_000)))
    assert sorted(r.order.accept_sequence for r in receipts) == list(range(1, 3_001))


async def test_a_batch_is_placed_whole_with_receipts_in_its_order(tmp_path: Path) -> None:
    batch = [order(f"sku-{n}", vip=n % 3 == 0, request_id=f"r-{n}") for n in range(1000)]
    async with serving(tmp_path, workers=0) as stub:
        answer = await stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=batch))
        conflict = [order("other", request_id="fresh"), order("other", request_id="r-5")]
        refusal = await refusal_of(
            stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=conflict))
        )
        fresh = await stub.PlaceOrder(order("any", request_id="fresh"))

    assert [r.order.lines[0].sku for r in answer.receipts] == [f"sku-{n}" for n in range(1000)]
    assert [r.order.accept_sequence for r in answer.receipts] == list(range(1, 1001))
    assert refusal.reason == "REQUEST_ID_REUSED"
    assert not fresh.replayed


@pytest.mark.parametrize("order_id", ["nonsense", "00000000-000000000001", "{log}-00000000ffff"])
async def test_an_unknown_order_is_not_found(tmp_path: Path, order_id: str) -> None:
    async with serving(tmp_path, workers=0) as stub:
        receipt = await stub.PlaceOrder(order())
        asked = order_id.format(log=receipt.order.order_id.partition("-")[0])
        refusal = await refusal_of(stub.GetOrder(api.GetOrderRequest(order_id=asked)))
        empty = await refusal_of(stub.GetOrder(api.GetOrderRequest()))
    assert refusal.code == grpc.StatusCode.NOT_FOUND
    assert refusal.reason == "ORDER_NOT_FOUND"
    assert empty.fields == ["order_id"]


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"queue_limit": 5}, "queue_limit"),
        ({"queue_limit": 8, "vip_reserve": 0.5}, "queue_limit"),
        ({"customer_queue_limit": 5}, "customer_queue_limit"),
    ],
)
async def test_p4_a_batch_that_is_over_a_limit_by_itself_is_told_no_time_to_come_back(
    tmp_path: Path, settings: dict[str, Any], limit: str
) -> None:
    async with serving(tmp_path, workers=0, **settings) as stub:
        six = api.BatchPlaceOrdersRequest(requests=[order() for _ in range(6)])
        with pytest.raises(grpc.aio.AioRpcError) as over:
            await stub.BatchPlaceOrders(six)
        await stub.PlaceOrder(order())
        four = api.BatchPlaceOrdersRequest(requests=[order() for _ in range(4)])
        later = await refusal_of(_until_refused(stub, four))
    for_good = refused(over.value)
    assert (for_good.code, for_good.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ORDER")
    assert (for_good.fields, for_good.retry_seconds) == (["requests"], None)
    assert limit in str(over.value.details())
    assert later.retry_seconds


async def _until_refused(stub: Stub, batch: api.BatchPlaceOrdersRequest) -> None:
    while True:
        await stub.BatchPlaceOrders(batch)


async def test_repeats_are_answered_though_their_customer_is_over_its_rate(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=0, customer_rate=0.001, customer_burst=2) as stub:
        known = [order(request_id=f"r-{n}") for n in range(2)]
        await stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=known))
        for _ in range(3):
            again = await stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=known))
            assert [receipt.replayed for receipt in again.receipts] == [True, True]
            assert (await stub.PlaceOrder(known[0])).replayed
        mixed = api.BatchPlaceOrdersRequest(requests=[*known, order()])
        assert (await refusal_of(stub.BatchPlaceOrders(mixed))).reason == "CUSTOMER_QUOTA"


async def test_pages_and_answers_of_bulky_orders_stay_below_256_kib(tmp_path: Path) -> None:
    bulky = order()
    bulky.payload.Pack(wrappers_pb2.BytesValue(value=b"x" * 64_000))
    async with serving(tmp_path, workers=0) as stub:
        for _ in range(3):
            await stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=[bulky] * 3))
        listed, token = 0, ""
        while not listed or token:
            page = await stub.ListOrders(api.ListOrdersRequest(page_size=1000, page_token=token))
            assert page.ByteSize() < 256 * 1024
            listed, token = listed + len(page.orders), page.next_page_token
    assert listed == 9
