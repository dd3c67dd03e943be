"""How rows become orders and completions, whichever engine they come from.

A row of what was accepted: accept_sequence, customer_id, tier, content, accept_time, not_before,
expire_time, redrive_of. Of an attempt: attempt_count, start_sequence, start_time. Of the log:
sequence, outcome, an attempt, complete_time, failure_code, failure_message, result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.domain import Completion, Failure, Order, State, Tier

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


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
