"""Workers in processes of their own, in few words: what they ask of a store."""

from collections.abc import Sequence
from dataclasses import replace

from orderintake_server.domain import Ending, Lease, State
from orderintake_server.holders import Holder, LeaseKey, LentLease, TakenBack, key_of
from orderintake_server.store.base import Store
from orderintake_server.store.changes import NEVER_ALONE, Changes, ClaimNext, Committed, Take
from orderintake_server.store.work import AttemptEnd, WorkDone, WorkerState, WorkerWord
from orderintake_server.store.work import Work as _Work
from support.changes import DONE

ANN, BEN, CAT = "ann-1", "ben-2", "cat-3"
"""Ids of workers."""


def calls(worker_id: str, call: int = 0) -> Holder:
    """Name a call of a worker."""
    return Holder(worker_id, call)


async def deal(
    store: Store,
    *takes: Take,
    alone: int = NEVER_ALONE,
    is_idle: bool = True,
    limit: int = 0,
    changes: Changes | None = None,
) -> Committed:
    """Offer slots, beside other changes; tell what the commit says."""
    wanted = ClaimNext(takes=takes, is_idle=is_idle, alone=alone)
    return await store.commit(replace(changes or Changes(), claim_next=wanted, attempt_limit=limit))


async def take(
    store: Store, worker_id: str, most: int = 1, *, call: int = 0, limit: int = 0
) -> list[LentLease]:
    """Start the most urgent orders at a worker."""
    committed = await deal(store, Take(most, calls(worker_id, call)), limit=limit)
    return lent(committed.claimed_next)


def lent(leases: Sequence[Lease]) -> list[LentLease]:
    """Give leases, all of which workers must have."""
    found = [lease for lease in leases if isinstance(lease, LentLease)]
    assert len(found) == len(leases)
    return found


def numbers(leases: Sequence[Lease]) -> list[int]:
    """Tell of which orders these leases are."""
    return [lease.order.accept_sequence for lease in leases]


async def work(store: Store, **asked: object) -> WorkDone:
    """Ask for work to be done."""
    done = (await store.commit(Changes(work=_Work(**asked)))).work  # type: ignore[arg-type]
    assert done is not None
    return done


async def report(
    store: Store, *leases: Lease | LeaseKey, ending: Ending | None = DONE
) -> list[State | None]:
    """Report that these attempts ended all in one way; None: that they were not made."""
    keys = [key_of(lease) if isinstance(lease, Lease) else lease for lease in leases]
    return (await work(store, reports=[AttemptEnd(key, ending) for key in keys])).reports


async def say(store: Store, word: WorkerWord) -> WorkerState:
    """Let a worker say a word of itself."""
    (state,) = (await work(store, words=[word])).words
    return state


async def end(store: Store, worker_id: str) -> list[TakenBack]:
    """End a worker."""
    (taken,) = (await work(store, ends=[worker_id])).ends
    return taken


async def bury(store: Store, worker_id: str) -> list[TakenBack]:
    """Say that a worker is dead."""
    (taken,) = (await work(store, deaths=[worker_id])).deaths
    return taken
