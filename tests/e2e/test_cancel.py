"""P13 across kill -9: the answer to a cancel always matches the one completion."""

import asyncio
from pathlib import Path

import grpc
import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.store.sqlite.audit import audit
from support.in_process import Stub, completions
from support.orders import order
from support.process import serving_process

ORDERS = 1_000
CYCLES = 5
KILLED_AFTER = 150
MATCHING = {
    api.CANCEL_OUTCOME_CANCELLED: {order_pb2.STATE_CANCELLED},
    api.CANCEL_OUTCOME_CANCEL_REQUESTED: {order_pb2.STATE_CANCELLED, order_pb2.STATE_SUCCEEDED},
    api.CANCEL_OUTCOME_TOO_LATE: {order_pb2.STATE_SUCCEEDED, order_pb2.STATE_CANCELLED},
}


@pytest.mark.seconds
async def test_p13_every_answer_to_a_cancel_holds_after_kills(tmp_path: Path) -> None:
    batch = api.BatchPlaceOrdersRequest(
        requests=[order(labels={"processing_time": "0.01s"}) for _ in range(ORDERS)]
    )
    async with serving_process(tmp_path, "--workers", "0") as (_, stub):
        receipts = (await stub.BatchPlaceOrders(batch)).receipts
    waiting = [receipt.order.order_id for receipt in receipts]
    answers: dict[str, api.CancelOutcome.ValueType] = {}
    for cycle in range(CYCLES):
        async with serving_process(tmp_path, "--max-crashes", "100") as (server, stub):
            mine = waiting[cycle::CYCLES]
            cancels = asyncio.create_task(_cancel(stub, mine, answers))
            while len(answers) < cycle * ORDERS // CYCLES + KILLED_AFTER and not cancels.done():
                await asyncio.wait({cancels}, timeout=0.001)
            server.kill()
            await cancels
    async with serving_process(tmp_path) as (_, stub):
        ends = {c.order.order_id: c.order.state for c in await completions(stub, ORDERS)}

    assert len(answers) >= CYCLES * KILLED_AFTER // 2
    assert len(ends) == ORDERS
    assert all(ends[order_id] in MATCHING[outcome] for order_id, outcome in answers.items())
    assert await asyncio.to_thread(audit, tmp_path) == []


async def _cancel(
    stub: Stub, order_ids: list[str], answers: dict[str, api.CancelOutcome.ValueType]
) -> None:
    """Cancel orders side by side until the server is gone; keep every answer."""

    async def cancel(order_id: str) -> None:
        try:
            answer = await stub.CancelOrder(api.CancelOrderRequest(order_id=order_id))
        except grpc.RpcError:
            return
        answers[order_id] = answer.outcome

    await asyncio.gather(*map(cancel, order_ids))
