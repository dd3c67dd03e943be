"""A store and its model, with workers in processes of their own beside all else."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, invariant, multiple, rule

from orderintake_server.domain import Ending
from orderintake_server.holders import Holder, LentLease, WorkerRow, key_of
from orderintake_server.store.changes import Changes, ClaimNext, Take
from orderintake_server.store.work import AttemptEnd, Work, WorkerState, WorkerWord
from support.changes import AMPLE
from support.clocks import SECOND
from support.store_machine import StoreMachine
from support.strategies import ENDINGS, GROUPS, MAX_CRASHES

IDS = st.sampled_from(["ann-1", "ben-2", "cat-3", "local-4"])
SAID = {"ann-1": ("ann:1", 3), "ben-2": ("ben:2", None)}
"""What workers say of themselves when they offer slots."""
HOLDERS = st.builds(
    lambda worker_id, call: Holder(worker_id, call, *SAID.get(worker_id, ())),
    IDS,
    st.integers(0, 4),
)
TAKES = st.lists(
    st.builds(Take, st.integers(1, 3), HOLDERS) | st.builds(Take, st.integers(1, 2)),
    min_size=1,
    max_size=4,
)
LIMITS = st.sampled_from([0, 0, 5 * SECOND, 60 * SECOND])
"""How long attempts may take."""
WORDS = st.builds(
    WorkerWord,
    IDS,
    name=st.sampled_from([None, "ann:1", ""]),
    capacity=st.none() | st.integers(0, 9),
    is_stopping=st.sampled_from([False, False, False, True]),
)


class WorkMachine(StoreMachine):
    """Workers that offer slots, repeat their calls, report twice or late, stop, end and die.

    An answer that is lost is a call or a report that is repeated; a worker that was frozen is one
    that reports after its death.
    """

    lent = Bundle("lent")

    @rule(target=lent, takes=TAKES, is_idle=st.booleans(), limit=LIMITS)
    def offer(self, takes: list[Take], limit: int, *, is_idle: bool) -> MultipleResults[LentLease]:
        return self.given(Changes(claim_next=_wanted(takes, is_idle=is_idle), attempt_limit=limit))

    @rule(target=lent, takes=TAKES, groups=GROUPS, limit=LIMITS)
    def offer_while_orders_come(
        self, takes: list[Take], groups: list[Any], limit: int
    ) -> MultipleResults[LentLease]:
        wanted = _wanted(takes, is_idle=True)
        asked = Changes(accepts=groups, capacity=AMPLE, claim_next=wanted, attempt_limit=limit)
        return self.given(asked)

    @rule(target=lent, holder=HOLDERS, count=st.integers(1, 3), limit=LIMITS)
    def start_some_at_a_worker(
        self, holder: Holder, count: int, limit: int
    ) -> MultipleResults[LentLease]:
        """Claim by name, as a queue does that no other process uses, which knows who may."""
        worker = self.model.workers.get(holder.worker_id)
        is_closed = worker is not None and worker.state is not WorkerState.WORKS
        places = self.model.startable()[:count]
        has_suspect = any(place.crash_count >= MAX_CRASHES - 1 for place in places)
        had = self.model.had_by(holder.worker_id)
        is_alone = any(held.crashes >= MAX_CRASHES - 1 for held in had)
        if is_closed or is_alone or has_suspect or self.model.leases_of(holder):
            return multiple()
        return self.given(
            Changes(claims=places, holders=[holder] * len(places), attempt_limit=limit)
        )

    @rule(ended=st.lists(st.tuples(lent, ENDINGS | st.none()), min_size=1, max_size=4))
    def report(self, ended: list[tuple[LentLease, Ending | None]]) -> None:
        reports = [AttemptEnd(key_of(lease), ending) for lease, ending in ended]
        self.commit(Changes(work=Work(reports=reports)))

    @rule(releases=st.lists(lent, max_size=2))
    def give_back_what_nobody_awaited(self, releases: list[LentLease]) -> None:
        self.commit(Changes(releases=releases))

    @rule(words=st.lists(WORDS, min_size=1, max_size=3))
    def say(self, words: list[WorkerWord]) -> None:
        said = [replace_local(word) for word in words]
        self.commit(Changes(work=Work(words=said)))

    @rule(worker_id=IDS)
    def end(self, worker_id: str) -> None:
        self.commit(Changes(work=Work(ends=[worker_id])))

    @rule(worker_ids=st.lists(IDS, min_size=1, max_size=2))
    def die(self, worker_ids: list[str]) -> None:
        self.commit(Changes(work=Work(deaths=worker_ids)))

    @rule(
        target=lent,
        ended=st.lists(st.tuples(lent, ENDINGS | st.none()), max_size=3),
        words=st.lists(WORDS, max_size=1),
        ends=st.lists(IDS, max_size=1),
        deaths=st.lists(IDS, max_size=1),
        takes=TAKES,
        is_full=st.booleans(),
    )
    def do_all_work_at_once(  # noqa: PLR0913 - all at once
        self,
        ended: list[tuple[LentLease, Ending | None]],
        words: list[WorkerWord],
        ends: list[str],
        deaths: list[str],
        takes: list[Take],
        *,
        is_full: bool,
    ) -> MultipleResults[LentLease]:
        changes = Changes(
            work=Work(
                reports=[AttemptEnd(key_of(lease), ending) for lease, ending in ended],
                words=list(map(replace_local, words)),
                ends=ends,
                deaths=deaths,
            ),
            capacity=AMPLE,
            claim_next=_wanted(takes, is_idle=False),
        )
        if is_full:
            self.find_no_room(changes)
        return self.given(changes)

    @invariant()
    def the_workers_are_the_models(self) -> None:
        for worker_id in ("ann-1", "local-4"):
            found = self.run(self.store.at_work.read_worker(worker_id))
            assert self.plain(found) == self.plain(self.model.row(worker_id))
        listed = map(self.plain, self.run(self.store.at_work.list_workers()))
        rows = [self.model.row(worker_id) for worker_id in self.model.workers]
        living = [self.plain(row) for row in rows if row and not row.is_ended]
        assert sorted(listed, key=repr) == sorted(living, key=repr)

    @rule(holder=HOLDERS)
    def ask_what_a_call_was_given(self, holder: Holder) -> None:
        assert self.run(self.store.at_work.leases_of(holder)) == self.model.leases_of(holder)

    def plain(self, row: WorkerRow | None) -> WorkerRow | None:
        """Leave out what is not told by every store: its own clock, and who ended long ago."""
        if row is None or (row.is_ended and self.home.is_shared):
            return None
        since = 0 if self.home.is_shared else row.since
        return replace(row, heard=0, since=since, leases=list(row.leases))

    def given(self, changes: Changes) -> MultipleResults[LentLease]:
        committed = self.commit(changes)
        found = [*committed.claimed, *committed.claimed_next]
        return multiple(*(lease for lease in found if isinstance(lease, LentLease)))


def replace_local(word: WorkerWord) -> WorkerWord:
    """Let the one that is supervised say so, and only that."""
    return word._replace(is_local=word.worker_id == "local-4")


def _wanted(takes: list[Take], *, is_idle: bool) -> ClaimNext:
    return ClaimNext(takes=takes, is_idle=is_idle, alone=MAX_CRASHES - 1)
