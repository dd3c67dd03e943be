"""How rows become orders and completions, whichever engine they come from."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

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
    from collections.abc import Callable, Sequence
    from typing import Any

    ReadRow = Callable[["CompletionRow"], Any]
    """What is made of a completion's row."""

ORDER_COLUMNS = (
    *("accept_sequence", "customer_id", "tier", "content", "accept_time"),
    *("not_before", "expire_time", "redrive_of", "trace"),
)
"""Of what was accepted."""
ATTEMPT_COLUMNS = ("attempt_count", "start_sequence", "start_time")
LOG_COLUMNS = (
    *("sequence", "outcome", *ATTEMPT_COLUMNS, "complete_time"),
    *("failure_code", "failure_message", "result"),
)
COMPLETION_COLUMNS = (*ORDER_COLUMNS, *LOG_COLUMNS)
"""Of an order and of its row in the log."""


class CompletionRow(NamedTuple):
    """A row of COMPLETION_COLUMNS, as its engine gives it."""

    accept_sequence: int
    customer_id: str
    tier: int
    content: bytes
    accept_time: int
    not_before: int
    expire_time: int
    redrive_of: int
    trace: bytes | None
    sequence: int
    state: int
    """How its order ended: the column outcome."""
    attempt_count: int
    start_sequence: int
    start_time: int
    complete_time: int
    failure_code: str | bytes | None
    failure_message: str | bytes | None
    result: bytes | None

    @property
    def failure(self) -> Failure | None:
        """Why it failed, if it did."""
        code, message = self.failure_code, self.failure_message
        if code is None or message is None:
            return None
        return Failure(code=_text(code), message=_text(message))


def _of(table: str, names: Sequence[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)


ACCEPTED = _of("o", ORDER_COLUMNS)
"""The columns of what was accepted, of the table called o, in SQL."""
LOGGED = _of("g", LOG_COLUMNS)
"""The columns of the log, called g."""
STANDING = f"{ACCEPTED}, r.attempt_count, s.attempt_count, {_of('l', ATTEMPT_COLUMNS)}, {LOGGED}"
"""The columns of `standing_of`: ready is called r, scheduled s, leases l."""


def _parts(*widths: int) -> list[slice]:
    """Give the slices of a row that is made of parts of these widths, and the whole of it."""
    ends = list(accumulate(widths))
    parts = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
    return [*parts, slice(0, ends[-1])]


_ORDER, _QUEUED, _SCHEDULED, _LEASED, _LOGGED, _WHOLE = _parts(
    len(ORDER_COLUMNS), 1, 1, len(ATTEMPT_COLUMNS), len(LOG_COLUMNS)
)
STANDING_WIDTH = _WHOLE.stop


def standing_of(row: Sequence[Any]) -> Order | Completion:
    """Tell how an order stands, by a row of STANDING: None is wherever it does not stand."""
    accepted, leased, logged = row[_ORDER], row[_LEASED], row[_LOGGED]
    if logged[0] is not None:
        return completion_of(CompletionRow._make((*accepted, *logged)))
    if leased[0] is not None:
        return order_of(accepted, State.PROCESSING, leased)
    (queued,), (scheduled,) = row[_QUEUED], row[_SCHEDULED]
    if scheduled is not None:
        return order_of(accepted, State.SCHEDULED, (scheduled, 0, 0))
    return order_of(accepted, State.QUEUED, (queued, 0, 0))


def completion_of(row: CompletionRow) -> Completion:
    """Make a completion of its row."""
    attempt = row.attempt_count, row.start_sequence, row.start_time
    accepted = row[: len(ORDER_COLUMNS)]
    return Completion(
        sequence=row.sequence,
        order=order_of(accepted, State(row.state), attempt, row.complete_time),
        failure=row.failure,
        result=row.result,
    )


def row_of(completion: Completion) -> CompletionRow:
    """Make the row of a completion."""
    order, failure = completion.order, completion.failure
    return CompletionRow._make(
        (
            *(getattr(order, column) for column in ORDER_COLUMNS),
            *(completion.sequence, order.state),
            *(getattr(order, column) for column in ATTEMPT_COLUMNS),
            order.complete_time,
            *((failure.code, failure.message) if failure else (None, None)),
            completion.result,
        )
    )


def _text(value: str | bytes) -> str:
    """Read a text that may hold any character, which PostgreSQL keeps as bytes."""
    return value if isinstance(value, str) else value.decode()


_TIERS = {tier.value: tier for tier in Tier}
"""To call Tier takes seven times as long."""


def order_of(
    accepted: Sequence[Any], state: State, attempt: Sequence[int], complete_time: int = 0
) -> Order:
    """Make an order of its own row and of what is known of its latest attempt."""
    accept_sequence, customer_id, tier, content, accept_time, *given = accepted
    not_before, expire_time, redrive_of, trace = given
    attempt_count, start_sequence, start_time = attempt
    return Order(
        accept_sequence=accept_sequence,
        customer_id=customer_id,
        tier=_TIERS[tier],
        content=content,
        accept_time=accept_time,
        state=state,
        not_before=not_before,
        expire_time=expire_time,
        redrive_of=redrive_of,
        trace=trace,
        attempt_count=attempt_count,
        start_sequence=start_sequence,
        start_time=start_time,
        complete_time=complete_time,
    )


def cancelled_of(stands: Order | Completion | None) -> Cancelled | None:
    """Tell what became of a request to cancel, by how its order stands afterwards."""
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
