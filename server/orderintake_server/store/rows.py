"""How rows become orders and completions, whichever engine they come from.

A row of what was accepted: accept_sequence, customer_id, tier, content, accept_time, not_before,
expire_time, redrive_of. Of an attempt: attempt_count, start_sequence, start_time. Of the log:
sequence, outcome, an attempt, complete_time, failure_code, failure_message, result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.domain import (
    Cancelled,
    CancelOutcome,
    Completion,
    Failure,
    Order,
    State,
    Tier,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

ACCEPTED = (
    "o.accept_sequence, o.customer_id, o.tier, o.content, o.accept_time,"
    " o.not_before, o.expire_time, o.redrive_of"
)
"""The columns of what was accepted, of the table called o."""
LOGGED = (
    "g.sequence, g.outcome, g.attempt_count, g.start_sequence, g.start_time, g.complete_time,"
    " g.failure_code, g.failure_message, g.result"
)
"""The columns of the log, called g."""


def standing_of(row: Sequence[Any]) -> Order | Completion:
    """Tell where an order's row is, and so its state.

    The row: what was accepted; attempt_count if it is queued; likewise if it is scheduled; its
    attempt; its row of the log. None stands wherever it is not.
    """
    accepted, queued, scheduled, leased, logged = row[:8], row[8], row[9], row[10:13], row[13:]
    if logged[0] is not None:
        return completion_of(accepted, logged)
    if leased[0] is not None:
        return order_of(accepted, State.PROCESSING, leased)
    if scheduled is not None:
        return order_of(accepted, State.SCHEDULED, (scheduled, 0, 0))
    return order_of(accepted, State.QUEUED, (queued, 0, 0))


def completion_of(accepted: Sequence[Any], logged: Sequence[Any]) -> Completion:
    """Make a completion of an order's row and its row in the log."""
    sequence, outcome, *attempt, complete_time, code, message, result = logged
    return Completion(
        sequence=sequence,
        order=order_of(accepted, State(outcome), attempt, complete_time),
        failure=None if code is None else Failure(code=_text(code), message=_text(message)),
        result=result,
    )


def _text(value: str | bytes) -> str:
    """Read a text that may hold any character, which PostgreSQL keeps as bytes."""
    return value if isinstance(value, str) else value.decode()


def order_of(
    accepted: Sequence[Any], state: State, attempt: Sequence[int], complete_time: int = 0
) -> Order:
    """Make an order of its own row and of what is known of its latest attempt."""
    accept_sequence, customer_id, tier, content, accept_time, *given = accepted
    not_before, expire_time, redrive_of = given
    attempt_count, start_sequence, start_time = attempt
    return Order(
        accept_sequence=accept_sequence,
        customer_id=customer_id,
        tier=Tier(tier),
        content=content,
        accept_time=accept_time,
        state=state,
        not_before=not_before,
        expire_time=expire_time,
        redrive_of=redrive_of,
        attempt_count=attempt_count,
        start_sequence=start_sequence,
        start_time=start_time,
        complete_time=complete_time,
    )


def cancelled_of(stands: Order | Completion | None) -> Cancelled | None:
    """Tell what became of a request to cancel, by how its order stands behind it."""
    if stands is None:
        return None
    outcome = CancelOutcome.CANCEL_REQUESTED
    if isinstance(stands, Completion):
        is_cancelled = stands.order.state is State.CANCELLED
        outcome = CancelOutcome.CANCELLED if is_cancelled else CancelOutcome.TOO_LATE
    return Cancelled(outcome=outcome, stands=stands)


def number_of(stands: Order | Completion) -> int:
    """Tell which order it is that stands so."""
    order = stands.order if isinstance(stands, Completion) else stands
    return order.accept_sequence
