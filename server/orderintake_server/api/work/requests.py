"""Checks and reads what workers say; what is wrong with one outcome is its own order's failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.work.outcome import Kind, failure_of, success_of
from orderintake_server.api.violations import Violations, invalid
from orderintake_server.domain import LONGEST_SECONDS
from orderintake_server.holders import Holder
from orderintake_server.work.words import Inventory, KeepAsked, LeaseAsked, Report

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.duration_pb2 import Duration

    from orderintake.v1 import order_work_service_pb2 as work
    from orderintake.work.outcome import Outcome
    from orderintake_server.holders import LeaseKey
    from orderintake_server.ids import Ids

WORKER_ID_CHARACTERS = 64
SLOTS, OUTCOMES, CAPACITY = 32, 32, 10_000
WAIT_DEFAULT, WAIT_MOST = 10.0, 20.0
"""The limits are the contract's; the messages' comments state them."""
ANSWER_SECONDS = 1.0
"""So much before its deadline a call is answered, however long it might wait."""
NANOS = 1_000_000_000


def lease(request: work.LeaseOrdersRequest, ids: Ids, seconds_left: float | None) -> LeaseAsked:
    """Read a call of LeaseOrders whose caller waits so long. Raises InvalidOrder, LeaseInvalid."""
    violations = Violations()
    _check_worker(request, violations)
    if request.call < 0:
        violations.add("call", f"is {request.call}; it must not be negative")
    if not 0 <= request.slots <= SLOTS:
        violations.add("slots", f"is {request.slots}; 0 to {SLOTS} are allowed")
    if len(request.outcomes) > OUTCOMES:
        violations.add("outcomes", f"has {len(request.outcomes)}; at most {OUTCOMES} are allowed")
    wait = _seconds(request.wait) if request.HasField("wait") else WAIT_DEFAULT
    if wait is None:
        violations.add("wait", "is negative, or no duration")
    violations.refuse()
    return LeaseAsked(
        holder=Holder(
            request.worker_id, request.call, request.name or None, request.capacity or None
        ),
        slots=request.slots,
        reports=[_report(outcome, ids) for outcome in request.outcomes],
        wait=_bounded(wait or 0.0, seconds_left),
    )


def keep(
    request: work.KeepLeasesRequest, ids: Ids, seconds_left: float | None, *, wait: float
) -> KeepAsked:
    """Read a call of KeepLeases, which waits so long at the most. Raises as `lease` does."""
    violations = Violations()
    _check_worker(request, violations)
    inventory = request.inventory
    if max(len(inventory.held), len(inventory.open_calls), len(request.stops_heard)) > CAPACITY:
        violations.add("inventory", f"has more than {CAPACITY} leases or calls")
    violations.refuse()
    return KeepAsked(
        worker_id=request.worker_id,
        name=request.name or None,
        capacity=request.capacity or None,
        is_stopping=request.stopping,
        inventory=_inventory(inventory, ids) if request.HasField("inventory") else None,
        stops_heard=_keys(request.stops_heard, ids),
        wait=_bounded(wait, seconds_left),
    )


def worker_id(request: work.EndWorkerRequest) -> str:
    """Read which worker ends. Raises InvalidOrder."""
    violations = Violations()
    violations.check_text("worker_id", request.worker_id, most=WORKER_ID_CHARACTERS)
    violations.refuse()
    return request.worker_id


def _check_worker(
    request: work.LeaseOrdersRequest | work.KeepLeasesRequest, violations: Violations
) -> None:
    """Check what a call says of the worker that makes it."""
    violations.check_text("worker_id", request.worker_id, most=WORKER_ID_CHARACTERS)
    violations.check_text("name", request.name, may_be_empty=True)
    if not 0 <= request.capacity <= CAPACITY:
        violations.add("capacity", f"is {request.capacity}; 0 to {CAPACITY} is allowed")


def _inventory(inventory: work.Inventory, ids: Ids) -> Inventory:
    if inventory.last_call < 0:
        raise invalid("inventory.last_call", "must not be negative")
    return Inventory(
        held=_keys(inventory.held, ids),
        last_call=inventory.last_call,
        open_calls=frozenset(inventory.open_calls),
    )


def _keys(leases: Iterable[str], ids: Ids) -> list[LeaseKey]:
    return [ids.lease_key(lease) for lease in leases]


def _report(outcome: work.Outcome, ids: Ids) -> Report:
    return Report(key=ids.lease_key(outcome.lease), outcome=_outcome(outcome))


def _outcome(said: work.Outcome) -> Outcome | None:
    """Read what came of an attempt, whatever it says; None: it was not made."""
    match said.WhichOneof("outcome"):
        case "succeeded":
            has_result = said.succeeded.HasField("result")
            return success_of(said.succeeded.result.SerializeToString() if has_result else None)
        case "failed":
            return failure_of(Kind.FAILED, said.failed.code, said.failed.message)
        case "rejected":
            return failure_of(Kind.REJECTED, said.rejected.code, said.rejected.message)
        case "retry":
            why, after = said.retry.failure, _seconds(said.retry.after)
            is_known = said.retry.HasField("after") and (after or 0) <= LONGEST_SECONDS
            return failure_of(Kind.RETRY, why.code, why.message, after if is_known else None)
        case _:
            return None


def _seconds(duration: Duration) -> float | None:
    """Return a length of time; None: it is negative, or none."""
    if duration.seconds < 0 or not 0 <= duration.nanos < NANOS:
        return None
    return duration.seconds + duration.nanos / NANOS


def _bounded(wait: float, seconds_left: float | None) -> float:
    """Return how long to wait: at the most so that the answer comes before the deadline."""
    most = WAIT_MOST if seconds_left is None else min(seconds_left - ANSWER_SECONDS, WAIT_MOST)
    return max(min(wait, most), 0.0)
