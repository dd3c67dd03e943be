"""What a commit is told of workers in processes of their own, and what it answers to that."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.domain import Event, State

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from orderintake_server.domain import Ending
    from orderintake_server.holders import Holder, LeaseKey, TakenBack

OVERDUE_AGAIN = 5_000_000
"""Microseconds after which an attempt that is overdue is told again."""
REMEMBERED = 600_000_000
"""Microseconds for which it is remembered that a worker ended, and which attempts workers ended
without a completion."""
MOST_ENDED = 10_000
"""Of so many workers, the last ones, it is remembered at the most that they ended."""
NOT_STORED = "OUTCOME_NOT_STORED"
"""The code of a failure by an outcome that the store did not take."""
QUARANTINED = "QUARANTINED"
"""The code of a failure by crashes."""

GIVES: dict[Event, frozenset[State]] = {
    Event.SUCCEED: frozenset({State.SUCCEEDED}),
    Event.FAIL: frozenset({State.FAILED, State.CANCELLED, State.SCHEDULED}),
    Event.RETRY: frozenset({State.FAILED, State.CANCELLED, State.SCHEDULED}),
    Event.RELEASE: frozenset({State.QUEUED, State.CANCELLED}),
}
"""In which states a report may have left its order, by what it says: a repeat finds one of them.
Whether a failure is tried again may be decided anew."""


class AttemptEnd(NamedTuple):
    """What a worker says of an attempt: how it ended, or (None) that it was not made.

    Then the order waits again in its old position, with the attempt not counted.
    """

    key: LeaseKey
    ending: Ending | None = None


class WorkerWord(NamedTuple):
    """What is known of a worker: its row is made if there is none, and changed where it differs.

    Who stops goes on stopping, whatever later words say; and an ended worker is not changed.
    """

    worker_id: str
    name: str | None = None
    """None: not known, or as before; so for all that follow."""
    capacity: int | None = None
    is_stopping: bool = False
    is_local: bool | None = None


def word_of(holder: Holder) -> WorkerWord:
    """Return what a worker says of itself when it offers slots."""
    return WorkerWord(holder.worker_id, holder.name, holder.capacity)


class WorkerState(Enum):
    """How a worker stands."""

    WORKS = "it may be given orders"
    STOPS = "it takes nothing any more"
    ENDED = "nor does it say anything that counts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What workers say, and what becomes of them; the fields take effect in their order here."""

    reports: Sequence[AttemptEnd] = ()
    """An attempt that ended by such a report before is answered the same again, and nothing is
    changed: the log has it by its start_sequence, in a state that this report GIVES, but not as
    QUARANTINED; or as NOT_STORED, whatever the report. What was SCHEDULED or QUEUED by a report is
    noted for as long as REMEMBERED. Reports are of workers' attempts only."""
    words: Sequence[WorkerWord] = ()
    ends: Sequence[str] = ()
    """Ids of workers that end, known or not: what they have waits again, uncounted, or is cancelled
    if somebody asked for that. From now on they are given nothing, for as long as REMEMBERED, and
    for the last MOST_ENDED of them."""
    deaths: Sequence[str] = ()
    """Ids of workers that died: each attempt that they had counts one crash, as at the end of a
    process, unless they had said that they stop. They are forgotten: who was only thought dead
    begins anew. Those that ended are not touched."""

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.reports or self.words or self.ends or self.deaths)


@dataclass(slots=True, kw_only=True)
class WorkDone:
    """What a commit did with the Work, each list in its order."""

    reports: list[State | None] = field(default_factory=list)
    """The order's state by that; None: the lease was not good, and nothing was changed."""
    repeated: Collection[int] = ()
    """Which of the reports counted no more, by their places in the list: nothing was changed."""
    words: list[WorkerState] = field(default_factory=list)
    ends: list[list[TakenBack]] = field(default_factory=list)
    """What each had, in the order of acceptance."""
    deaths: list[list[TakenBack]] = field(default_factory=list)
