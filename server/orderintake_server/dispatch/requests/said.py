"""What workers said, as one part of a commit; and what the commit answers each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orderintake_server.dispatch.requests.pending import WorkerDeath, WorkerEnd
from orderintake_server.store.work import AttemptEnd, Work, WorkDone, WorkerWord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orderintake_server.dispatch.requests.pending import Pending, Said


def work_of(said: Sequence[Pending[Said, Any]]) -> Work:
    """Return what was said as a part of a commit."""
    items = [pending.item for pending in said]
    return Work(
        reports=[item for item in items if isinstance(item, AttemptEnd)],
        words=[item for item in items if isinstance(item, WorkerWord)],
        ends=[item.worker_id for item in items if isinstance(item, WorkerEnd)],
        deaths=[item.worker_id for item in items if isinstance(item, WorkerDeath)],
    )


def answers(
    said: Sequence[Pending[Said, Any]], done: WorkDone
) -> Iterator[tuple[Pending[Said, Any], Any]]:
    """Yield each of what was said with its answer."""
    of_kind = {
        AttemptEnd: iter(done.reports),
        WorkerWord: iter(done.words),
        WorkerEnd: iter(done.ends),
        WorkerDeath: iter(done.deaths),
    }
    for pending in said:
        yield pending, next(of_kind[type(pending.item)])


def cut(
    said: list[Pending[Said, Any]],
) -> tuple[list[Pending[Said, Any]], list[Pending[Said, Any]]]:
    """Return what one commit can do in its order, and the rest: what was said after deaths."""
    deaths = [isinstance(pending.item, WorkerDeath) for pending in said]
    if True not in deaths:
        return said, []
    first = deaths.index(True)
    end = deaths.index(False, first) if False in deaths[first:] else len(said)
    return said[:end], said[end:]
