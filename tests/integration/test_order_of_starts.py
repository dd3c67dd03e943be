"""P6: VIP before regular, first come first served inside a tier, exactly."""

import random
from pathlib import Path

import pytest

from support.gate import Gate
from support.in_process import completions, serving
from support.orders import order


@pytest.mark.always
async def test_one_held_worker_then_starts_vip_first_and_each_tier_in_accept_order(
    tmp_path: Path,
) -> None:
    gate = Gate()
    async with serving(tmp_path, handler=gate, workers=1) as stub:
        await stub.PlaceOrder(order("slow"))
        await gate.starts(1)
        tiers = [False] * 200 + [True] * 50
        random.Random(7).shuffle(tiers)
        receipts = [await stub.PlaceOrder(order(vip=vip)) for vip in tiers]
        gate.open()
        found = await completions(stub, 251)

    placed = [receipt.order for receipt in receipts]
    expected = sorted(placed, key=lambda o: (-o.tier, o.accept_sequence))
    assert [c.order.order_id for c in found[1:]] == [o.order_id for o in expected]
    assert [c.order.start_sequence for c in found] == list(range(1, 252))
    assert [c.sequence for c in found] == list(range(1, 252))
