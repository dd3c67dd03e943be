"""W3 and W4: calls of workers that are cut at any moment, and repeated until they are answered."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from integration.test_work import Kitchen, kitchen
from support.hand import done

ORDERS, SLOTS = 100, 4
CUTS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.3)
"""After so many seconds a call is cut, if it has no answer yet."""

__all__ = ["kitchen"]


class Cutter:
    """A worker whose network is bad: hardly a call is answered at its first try."""

    def __init__(self, shop: Kitchen, chance: random.Random) -> None:
        self._me, self._chance = shop.me, chance
        self._open: set[int] = set()
        self.started: Counter[str] = Counter()
        self.recorded = 0
        self.cuts = 0

    async def slot(self) -> None:
        """Do orders until all are recorded."""
        leases: list[str] = []
        while self.recorded < ORDERS:
            answer = await self._answered(*map(done, leases))
            self.recorded += sum(each.result == 1 for each in answer.outcomes)
            self.started.update(each.order.order_id for each in answer.orders)
            leases = [each.lease for each in answer.orders]

    async def _answered(self, *outcomes: Any) -> Any:  # noqa: ANN401 - a LeaseOrdersResponse
        request = self._me.asks(*outcomes, slots=3, wait=0.1)
        self._open.add(request.call)
        while True:
            call = asyncio.ensure_future(self._call(request))
            await asyncio.wait({call}, timeout=self._chance.choice(CUTS))
            if call.done():
                break
            call.cancel()
            self.cuts += 1
        self._open.discard(request.call)
        told = {outcome.lease for outcome in outcomes}
        self._me.held = [lease for lease in self._me.held if lease not in told]
        self._me.held += [each.lease for each in call.result().orders]
        return call.result()

    async def _call(self, request: Any) -> Any:  # noqa: ANN401 - as above
        return await self._me.sends(request)

    async def keep(self) -> None:
        """Say what it has, again and again."""
        while True:
            asked = asyncio.ensure_future(self._keep())
            await asyncio.wait({asked}, timeout=0.02)
            asked.cancel()

    async def _keep(self) -> None:
        """Say it as it is now: of one moment, or a call that begins meanwhile would be given up."""
        await self._me.keeps(*self._open, capacity=SLOTS * 3)


@pytest.mark.seconds
@pytest.mark.timeout(60)
async def test_w3_w4_calls_that_are_cut_and_repeated_do_each_order_once(kitchen: Kitchen) -> None:
    cutter = Cutter(kitchen, random.Random(7))
    keeping = asyncio.create_task(cutter.keep())
    slots = [asyncio.create_task(cutter.slot()) for _ in range(SLOTS)]
    for _ in range(ORDERS):
        await kitchen.place("tea")
    await asyncio.gather(*slots)
    keeping.cancel()
    await asyncio.wait({keeping})
    assert cutter.cuts
    assert (len(cutter.started), set(cutter.started.values())) == (ORDERS, {1})
