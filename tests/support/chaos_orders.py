"""Orders of every kind for the chaos run, their handler, and how each of them may end."""

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.struct_pb2 import Struct

from orderintake import (
    REGULAR,
    VIP,
    CancelOrderResponse,
    CancelOutcome,
    Completion,
    NewOrder,
    Order,
    State,
    Tier,
)
from orderintake_server.handlers import OrderAttempt
from support import misdeeds

MAX_ATTEMPTS = 5
MAX_CRASHES = 3
MOST_CODE = 64
MOST_MESSAGE = 1_024
FOR_EVER = 1_000
"""So often fails what never succeeds."""
CUSTOMERS = 20

KINDS = {
    "plain": 64,
    "slow": 8,
    "failing": 10,
    "hopeless": 2,
    "later": 8,
    "expiring": 6,
    "hostile": 2,
}
"""How many of a hundred orders are of each kind."""


@dataclass(kw_only=True)
class Placed:
    """An order that was placed, and what was answered."""

    wanted: NewOrder
    tier: Tier.ValueType
    kind: str
    soon: datetime
    """Its not_before or expire_time, if it is of the kind to have one."""
    order_id: str = ""
    cancelled: CancelOrderResponse | None = None


def make(chance: random.Random, request_id: str, kinds: Mapping[str, int] = KINDS) -> Placed:
    """Make an order of some kind. Placed again, it is the same."""
    (kind,) = chance.choices(list(kinds), list(kinds.values()))
    tier = VIP if chance.random() < 0.3 else REGULAR
    seconds = chance.uniform(0.4, 1.5) if kind == "slow" else chance.expovariate(1 / 0.02)
    fails = {"failing": chance.randint(1, 2), "hopeless": FOR_EVER}.get(kind, 0)
    labels = {"request_id": request_id, "seconds": f"{seconds:.3f}", "fails": str(fails)}
    if kind == "hostile":
        misdeed = chance.choice(sorted(misdeeds.DEEDS))
        labels |= {"misdeed": misdeed, "seed": str(chance.getrandbits(64))}
    wanted: NewOrder = {
        "customer_id": f"customer-{chance.randrange(CUSTOMERS)}",
        "request_id": request_id,
        "lines": {"tea": chance.randint(1, 9)},
        "tier": tier,
        "labels": labels,
    }
    soon = datetime.now(UTC) + timedelta(seconds=chance.uniform(0.2, 3.0))
    if kind == "later":
        wanted["not_before"] = soon
    elif kind == "expiring":
        wanted["expire_time"] = soon
    return Placed(wanted=wanted, tier=tier, kind=kind, soon=soon)


def work(order: OrderAttempt) -> Any:  # noqa: ANN401 - whatever a misdeed gives
    """Do what is to be done in a thread there; give the rest to be awaited in the event loop."""
    misdeed = order.labels.get("misdeed")
    return misdeeds.do(misdeed, order) if misdeed else work_innocent(order)


async def work_innocent(order: OrderAttempt) -> Struct:
    """Take as long as a label says, fail as often as another; return which attempt this was."""
    await asyncio.sleep(float(order.labels["seconds"]))
    if order.attempt <= int(order.labels["fails"]):
        raise ConnectionError("the warehouse does not answer")
    result = Struct()
    result["attempt"] = order.attempt
    return result


def wrong(placed: Placed, completion: Completion) -> Iterator[str]:
    """Tell what of an order's completion must not be."""
    order, wanted = completion.order, placed.wanted
    if (order.customer_id, order.tier) != (wanted["customer_id"], placed.tier) or (
        dict(order.labels) != wanted["labels"]
    ):
        yield "it is not what was placed"
    if order.state not in _POSSIBLE[placed.kind] and not _is_another_end(placed, completion):
        yield f"a {placed.kind} one ended as {State.Name(order.state)} {completion.failure.code}"
    if order.state == State.STATE_SUCCEEDED and placed.kind != "hostile":
        yield from _wrong_success(completion)
    if order.state == State.STATE_FAILED:
        yield from _wrong_failure(completion)
    yield from _wrong_times(placed, order)
    if placed.cancelled is not None:
        yield from _wrong_cancel(placed.cancelled, completion)


def _wrong_times(placed: Placed, order: Order) -> Iterator[str]:
    """Compare when it started or expired with the time it was placed with."""
    has_started = order.HasField("start_time")
    if placed.kind == "later" and has_started and order.start_time.ToDatetime(UTC) < placed.soon:
        yield "it started before its time"
    is_expired = order.state == State.STATE_EXPIRED
    if is_expired and order.complete_time.ToDatetime(UTC) < placed.soon:
        yield "it expired before its time"


_POSSIBLE = {
    "plain": {State.STATE_SUCCEEDED},
    "slow": {State.STATE_SUCCEEDED},
    "failing": {State.STATE_SUCCEEDED},
    "hopeless": {State.STATE_FAILED},
    "later": {State.STATE_SUCCEEDED},
    "expiring": {State.STATE_SUCCEEDED, State.STATE_EXPIRED},
    "hostile": {State.STATE_SUCCEEDED, State.STATE_FAILED},
}
"""How each kind may end. An innocent one never fails: see the one exception below."""


def _is_another_end(placed: Placed, completion: Completion) -> bool:
    """Tell whether somebody cancelled it, or the process died too often during its attempts."""
    if completion.order.state == State.STATE_CANCELLED:
        return placed.cancelled is not None
    is_quarantined = completion.failure.code == "QUARANTINED"
    return is_quarantined and completion.order.attempt_count >= MAX_CRASHES


def _wrong_success(completion: Completion) -> Iterator[str]:
    """Compare what the attempt returned with what the completion says of it."""
    result = Struct()
    completion.result.Unpack(result)
    order = completion.order
    if result["attempt"] != order.attempt_count:
        yield f"attempt {order.attempt_count} has the result of attempt {result['attempt']}"
    if order.attempt_count <= int(order.labels["fails"]):
        yield "an attempt that failed is said to have succeeded"


def _wrong_failure(completion: Completion) -> Iterator[str]:
    """See that a failure can be read, whatever a handler made of it."""
    failure = completion.failure
    if not (1 <= len(failure.code) <= MOST_CODE and len(failure.message) <= MOST_MESSAGE):
        yield f"its failure is none: {failure}"


def _wrong_cancel(answer: CancelOrderResponse, completion: Completion) -> Iterator[str]:
    """Compare what was answered with how it ended."""
    state = completion.order.state
    if answer.outcome == CancelOutcome.CANCEL_OUTCOME_CANCEL_REQUESTED:
        is_kept = state in {State.STATE_CANCELLED, State.STATE_SUCCEEDED}
    else:
        is_late = answer.outcome == CancelOutcome.CANCEL_OUTCOME_TOO_LATE
        is_kept = answer.completion == completion and is_late == (state != State.STATE_CANCELLED)
    if not is_kept:
        name = CancelOutcome.Name(answer.outcome)
        yield f"its cancel was answered {name}; it ended as {State.Name(state)}"
