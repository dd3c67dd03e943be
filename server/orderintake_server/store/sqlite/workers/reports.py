"""What workers say, done: a report counts once, and a repeat of it is answered the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.domain import ENDED, Event, Lease, State
from orderintake_server.store.changes import Settlement
from orderintake_server.store.rows import ACCEPTED, order_of
from orderintake_server.store.sqlite import attempts
from orderintake_server.store.sqlite.workers.lost import bury, end_worker
from orderintake_server.store.sqlite.writing.statements import as_json
from orderintake_server.store.sqlite.writing.writes import FORGET_ENDS, NOTE_END
from orderintake_server.store.work import (
    GIVES,
    NOT_STORED,
    QUARANTINED,
    REMEMBERED,
    WorkDone,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orderintake_server.store.sqlite.unit_of_work import UnitOfWork
    from orderintake_server.store.work import AttemptEnd, Work


def do(unit: UnitOfWork, work: Work) -> WorkDone:
    """Do what `work` says, in its order."""
    states, repeated = _record(unit, work.reports) if work.reports else ([], ())
    return WorkDone(
        reports=states,
        repeated=repeated,
        words=[unit.roster.note(word, unit.now).state for word in work.words],
        ends=[end_worker(unit, worker_id) for worker_id in work.ends],
        deaths=[bury(unit, worker_id) for worker_id in work.deaths],
    )


def _record(
    unit: UnitOfWork, reports: Sequence[AttemptEnd]
) -> tuple[list[State | None], Sequence[int]]:
    """End the attempts whose leases are good; of two reports of one the first counts.

    Returns each order's state, and the places of the reports that count no more.
    """
    leases = _standing(unit, reports)
    first: dict[int, int] = {}
    for place, report in enumerate(reports):
        if report.key.start_sequence in leases:
            first.setdefault(report.key.start_sequence, place)
    states = _end(unit, [(leases[start], reports[place]) for start, place in first.items()])
    counted = {place: states[start] for start, place in first.items()}
    rest = [place for place in range(len(reports)) if place not in counted]
    said = {place: _said_before(unit, reports[place]) for place in rest}
    return [(counted | said)[place] for place in range(len(reports))], rest


def _end(unit: UnitOfWork, ends: Sequence[tuple[Lease, AttemptEnd]]) -> dict[int, State]:
    """End these attempts; return each order's state, and note those that have no completion."""
    settles = [Settlement(lease=lease, ending=end.ending) for lease, end in ends if end.ending]
    returned = [lease for lease, end in ends if not end.ending]
    starts = [settle.lease.order.start_sequence for settle in settles]
    starts += [lease.order.start_sequence for lease in returned]
    found = attempts.settle(unit, settles) + attempts.release(unit, returned)
    states = {start: state for start, state in zip(starts, found, strict=True) if state}
    _note(unit, states)
    return states


def _standing(unit: UnitOfWork, reports: Sequence[AttemptEnd]) -> dict[int, Lease]:
    """Read the leases that are good, by start sequence, but for the content of their orders."""
    numbers = as_json([report.key.accept_sequence for report in reports])
    asked = {report.key.start_sequence for report in reports}
    found: dict[int, Lease] = {}
    rows = unit.reading("leases", "orders").execute(_LEASES, (numbers,)).fetchall()
    for *accepted, attempt_count, start, start_time, crashes in rows:
        if start in asked:
            order = order_of(accepted, State.PROCESSING, (attempt_count, start, start_time))
            found[start] = Lease(order=order, crash_count=crashes)
    return found


def _note(unit: UnitOfWork, states: Mapping[int, State]) -> None:
    """Note which attempts ended without a completion, for repeats; forget old ones."""
    rows = [(n, int(state), unit.now) for n, state in states.items() if state not in ENDED]
    if rows:
        unit.write(FORGET_ENDS, [(unit.now - REMEMBERED,)])
        unit.write(NOTE_END, rows)


def _said_before(unit: UnitOfWork, report: AttemptEnd) -> State | None:
    """Return what became of an order by such a report before; None: there was none."""
    key, event = report.key, report.ending.event if report.ending else Event.RELEASE
    values = (*key[:2], key.start_sequence, unit.now - REMEMBERED)
    found = unit.reading("log", "ends").execute(_SAID, values).fetchone()
    if found is None:
        return None
    state, code = State(found[0]), found[1]
    if code == NOT_STORED:
        return state
    return state if state in GIVES[event] and code != QUARANTINED else None


_LEASES = f"""
SELECT {ACCEPTED.replace("o.content", "x''")},
  l.attempt_count, l.start_sequence, l.start_time, l.crash_count
FROM json_each(?) k CROSS JOIN leases l ON l.accept_sequence = k.value AND l.worker > 0
CROSS JOIN orders o ON o.accept_sequence = l.accept_sequence
"""
_SAID = """
SELECT outcome, failure_code FROM log WHERE accept_sequence = ? AND start_sequence = ?
UNION ALL SELECT state, NULL FROM ends WHERE start_sequence = ? AND time >= ?
"""
