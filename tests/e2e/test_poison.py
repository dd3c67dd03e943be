"""P11: an order that takes the process down is quarantined, and the others go on."""

import asyncio
from pathlib import Path

import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.store.sqlite.audit import audit
from support.in_process import completions
from support.orders import order
from support.process import server_process, serving_process

HANDLER = ("--handler", "support.handlers:by_sku", "--workers", "4", "--max-attempts", "1")
MAX_CRASHES = 3


@pytest.mark.seconds
async def test_p11_only_the_order_that_kills_the_process_is_quarantined(tmp_path: Path) -> None:
    async with serving_process(tmp_path, "--workers", "0") as (_, stub):
        skus = ["slow", "die", "slow", "slow"]
        batch = api.BatchPlaceOrdersRequest(requests=[order(sku) for sku in skus])
        receipts = (await stub.BatchPlaceOrders(batch)).receipts
    for _ in range(MAX_CRASHES):
        with server_process(tmp_path, *HANDLER, waits=False) as server:
            assert server.exit_code() == 9
    async with serving_process(tmp_path, *HANDLER) as (server, stub):
        assert server.log[0]["quarantined"] == 1
        found = await completions(stub, len(receipts))

    ends = {c.order.order_id: c for c in found}
    first, poison, *others = [ends[receipt.order.order_id] for receipt in receipts]
    assert [end.order.state for end in (first, poison, *others)] == [
        order_pb2.STATE_SUCCEEDED,
        order_pb2.STATE_FAILED,
        order_pb2.STATE_SUCCEEDED,
        order_pb2.STATE_SUCCEEDED,
    ]
    assert poison.failure.code == "QUARANTINED"
    assert poison.order.attempt_count == MAX_CRASHES
    assert await asyncio.to_thread(audit, tmp_path) == []
