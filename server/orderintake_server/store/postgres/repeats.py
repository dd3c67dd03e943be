"""How repeated orders stand: read once for all of a commit, while others commit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orderintake_server.domain import State
from orderintake_server.errors import StoreAway, StoreFull
from orderintake_server.store.postgres import reads
from orderintake_server.store.postgres.connector import failures
from orderintake_server.store.receipts import restated

if TYPE_CHECKING:
    from orderintake_server.domain import Completion, Order, Receipt
    from orderintake_server.store.postgres.functions import Release
    from orderintake_server.store.receipts import Outcome

LOCATE_SECONDS = 1.0
"""After which the receipts are given as they are, without places in the queue."""


async def located(outcomes: list[Outcome], fetch: reads.Fetch, release: Release) -> list[Outcome]:
    """Tell of repeated orders that wait in the queue how they stand now, and at which place.

    It takes counting, so that it is no part of the commit; where it fails the receipts stay as they
    are, for the commit is done.
    """
    receipts = [r for outcome in outcomes if isinstance(outcome, tuple) for r in outcome]
    numbers = [r.order.accept_sequence for r in receipts if _has_unknown_place(r)]
    if not numbers:
        return outcomes
    try:
        with failures():
            async with asyncio.timeout(LOCATE_SECONDS):
                found = await reads.locate(fetch, release, numbers)
    except (StoreAway, StoreFull):
        return outcomes
    return [
        tuple(_restated(receipt, found) for receipt in outcome)
        if isinstance(outcome, tuple)
        else outcome
        for outcome in outcomes
    ]


def _has_unknown_place(receipt: Receipt) -> bool:
    return receipt.replayed and receipt.order.state is State.QUEUED and not receipt.position


def _restated(receipt: Receipt, found: dict[int, tuple[Order | Completion, int]]) -> Receipt:
    stands = found.get(receipt.order.accept_sequence)
    return restated(receipt, *stands) if stands and _has_unknown_place(receipt) else receipt
