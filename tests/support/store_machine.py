"""A store and its model, done to alike: the machine that Hypothesis turns."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from orderintake_server.domain import Durability, Ending, Lease, Order, Receipt, State, Tier
from orderintake_server.errors import CursorExpired, RequestIdReused, StoreFull
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import (
    Cancel,
    CancelWaiting,
    Capacity,
    Changes,
    ClaimNext,
    Committed,
    Page,
    Pause,
    Prune,
    Settlement,
)
from orderintake_server.views import EVERY_ORDER, FailedOrder, OrderFilter, Selection
from support.changes import (
    AMPLE,
    BOSS,
    FRONT,
    PLENTY,
    actions,
    new,
    position,
    strictly,
    whole_log,
)
from support.clocks import SECOND
from support.model_orders import unstarted
from support.store_model import StoreModel
from support.stores import Home
from support.strategies import (
    CANCELS,
    CANCELS_WAITING,
    ENDINGS,
    FILTERS,
    GROUPS,
    LEAPS,
    NEXT,
    NUMBERS,
    PAUSES,
    POLICIES,
    ROOMS,
    SECONDS,
    SELECTIONS,
)

T = TypeVar("T")


class StoreMachine(RuleBasedStateMachine):
    """A store and its model, side by side. Time passes when the machine says so."""

    leases = Bundle("leases")

    def __init__(self, kind: type[Any]) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.home: Home = kind(Path(self.directory.name))
        self.is_begun = False  # Hypothesis may change its mind before

    @initialize(policy=POLICIES, groups=GROUPS)
    def open(self, policy: Policy, groups: list[Any]) -> None:
        self.home.policy = policy
        self.store = self.run(self.home.open())
        self.model = StoreModel(policy)
        self.is_begun = True
        self.commit(Changes(accepts=groups, capacity=AMPLE))

    def teardown(self) -> None:
        self.run(self.home.close())
        findings = self.home.findings() if self.is_begun else []
        self.run(self.home.leave())
        self.runner.close()
        self.directory.cleanup()
        assert findings == []

    # What callers and workers ask

    @rule(groups=GROUPS, capacity=ROOMS)
    def place(self, groups: list[Any], capacity: Capacity) -> None:
        self.commit(Changes(accepts=groups, capacity=capacity))

    @rule(groups=GROUPS)
    def ask_for_what_is_placed_too_late(self, groups: list[Any]) -> None:
        over = self.home.clock.now
        late = [[replace(order, expire_time=over) for order in group] for group in groups]
        last = len(self.model.held)
        claims = [strictly(last + number) for number in range(1, sum(map(len, late)) + 1)]
        self.commit(Changes(accepts=late, capacity=AMPLE, claims=claims))

    @rule(target=leases, count=st.integers(1, 6))
    def start_the_most_urgent(self, count: int) -> MultipleResults[Lease]:
        return self.started(Changes(claims=self.model.startable()[:count]))

    @rule(target=leases, groups=GROUPS, asked=NEXT)
    def place_and_start(self, groups: list[Any], asked: ClaimNext) -> MultipleResults[Lease]:
        return self.started(Changes(accepts=groups, capacity=AMPLE, claim_next=asked))

    @rule(ended=st.lists(st.tuples(leases, ENDINGS), max_size=4))
    def settle(self, ended: list[tuple[Lease, Ending]]) -> None:
        self.commit(Changes(settles=_settles(ended)))

    @rule(releases=st.lists(leases, max_size=3))
    def release(self, releases: list[Lease]) -> None:
        self.commit(Changes(releases=releases))

    @rule(cancels=CANCELS)
    def cancel(self, cancels: list[Cancel]) -> None:
        self.commit(Changes(cancels=cancels))

    @rule(cancels=CANCELS_WAITING)
    def cancel_many(self, cancels: list[CancelWaiting]) -> None:
        self.commit(Changes(cancels_waiting=cancels))

    @rule(wanted=SELECTIONS)
    def cancel_all_that_wait_and_match(self, wanted: Selection) -> None:
        numbers = self.listed_as_waiting(wanted, PLENTY)
        by = replace(BOSS, request_id="r-3")
        self.commit(Changes(cancels_waiting=[CancelWaiting(numbers, by)]))

    @rule(pauses=PAUSES)
    def pause(self, pauses: list[Pause]) -> None:
        self.commit(Changes(pauses=pauses))

    @rule(ago=SECONDS, limit=st.integers(1, 5))
    def prune_a_little(self, ago: int, limit: int) -> None:
        before = self.home.clock.later(-ago)
        self.commit(
            Changes(prune=Prune(completed_before=before, requests_before=None, limit=limit))
        )

    @rule(ago=SECONDS)
    def prune_all_with_request_ids(self, ago: int) -> None:
        before = self.home.clock.later(-ago)
        self.commit(
            Changes(prune=Prune(completed_before=before, requests_before=before, limit=PLENTY))
        )

    @rule(
        target=leases,
        ended=st.lists(st.tuples(leases, ENDINGS), max_size=3),
        releases=st.lists(leases, max_size=2),
        cancels=CANCELS,
        cancels_waiting=CANCELS_WAITING,
        pauses=PAUSES,
        groups=GROUPS,
        count=st.integers(0, 3),
        gone=st.lists(NUMBERS, max_size=3),
        asked=NEXT | st.none(),
        seconds=SECONDS | st.just(0),
        is_full=st.booleans(),
    )
    def do_all_at_once(  # noqa: PLR0913, PLR0917 - all at once
        self,
        ended: list[tuple[Lease, Ending]],
        releases: list[Lease],
        cancels: list[Cancel],
        cancels_waiting: list[CancelWaiting],
        pauses: list[Pause],
        groups: list[Any],
        count: int,
        gone: list[int],
        asked: ClaimNext | None,
        seconds: int,
        *,
        is_full: bool,
    ) -> MultipleResults[Lease]:
        by_name = not (asked and self.home.is_shared)
        changes = Changes(
            settles=_settles(ended),
            releases=releases,
            cancels=cancels,
            cancels_waiting=cancels_waiting,
            pauses=pauses,
            accepts=groups,
            capacity=AMPLE,
            claims=self.model.startable()[:count] + self.gone(gone) if by_name else (),
            claim_next=asked,
            page=Page(after=FRONT, limit=5),
        )
        self.home.clock.turn(seconds)
        if is_full:
            self.find_no_room(changes)
        return self.started(changes)

    @rule(seconds=SECONDS)
    def turn_the_clock(self, seconds: int) -> None:
        self.home.clock.turn(seconds)
        self.commit(Changes())

    @rule(seconds=LEAPS)
    def set_the_clock(self, seconds: int) -> None:
        self.home.clock.leap(seconds)
        self.model.leap(seconds * SECOND)
        self.commit(Changes())

    @rule(seconds=SECONDS | st.just(0))
    def crash(self, seconds: int) -> None:
        self.home.clock.turn(seconds)
        self.restarted(self.home.crash())

    @rule(count=st.integers(1, 3))
    def crash_while_processing(self, count: int) -> None:
        self.commit(Changes(claims=self.model.startable()[:count]))
        self.restarted(self.home.crash())

    @rule(policy=POLICIES)
    def reopen(self, policy: Policy) -> None:
        self.restarted(self.home.reopen(policy))

    # What is read

    @rule(after=NUMBERS, limit=st.integers(0, 5))
    def read_the_queue(self, after: int, limit: int) -> None:
        held = self.model.held.get(after)
        place = self.model.waiting(held) if held else strictly(after)
        self.commit(Changes(page=Page(after=place, limit=limit)))

    @rule(number=NUMBERS)
    def find(self, number: int) -> None:
        assert self.run(self.store.find(number)) == self.model.find(number)

    @rule(after=st.integers(0, 20), limit=st.integers(1, 5))
    def read_the_log(self, after: int, limit: int) -> None:
        reading = self.store.read_log(EVERY_ORDER, after=after, limit=limit, max_bytes=PLENTY)
        if after < self.model.earliest:
            with pytest.raises(CursorExpired) as caught:
                self.run(reading)
            assert caught.value.earliest == self.model.earliest
        else:
            assert self.run(reading).completions == self.model.log(after)[:limit]

    @rule(wanted=FILTERS, limit=st.integers(1, 5), newest_first=st.booleans())
    def list_the_orders(self, wanted: OrderFilter, limit: int, newest_first: bool) -> None:  # noqa: FBT001
        listed: list[Order] = []
        after: int | None = 0
        while after is not None:
            listing = self.store.list_orders(
                wanted, after=after, limit=limit, newest_first=newest_first
            )
            page, after = self.run(listing)
            assert len(page) <= limit
            listed += page
        expected = [o for o in self.model.orders() if _is_wanted(wanted, o)]
        assert listed == (expected[::-1] if newest_first else expected)

    @rule(number=NUMBERS, limit=st.integers(1, 3))
    def list_what_operators_did_to_an_order(self, number: int, limit: int) -> None:
        of_it = [each for each in self.model.actions if each.accept_sequence == number]
        assert self.run(actions(self.store, number, limit=limit)) == of_it

    @rule(wanted=SELECTIONS, limit=st.integers(1, 5), newest_first=st.booleans())
    def list_the_failures(self, wanted: Selection, limit: int, newest_first: bool) -> None:  # noqa: FBT001
        found: list[FailedOrder] = []
        after: int | None = 0
        while after is not None:
            page, after = self.run(
                self.store.selections.list_failures(
                    wanted, after=after, limit=limit, max_bytes=PLENTY, newest_first=newest_first
                )
            )
            assert len(page) <= limit
            found += page
        expected = self.model.failures(wanted)
        assert found == (expected[::-1] if newest_first else expected)

    @rule(wanted=SELECTIONS)
    def count_the_failures(self, wanted: Selection) -> None:
        counts = self.run(self.store.selections.count_failures(wanted))
        failures = [each.completion.failure for each in self.model.failures(wanted)]
        assert counts.counts == Counter(failure.code for failure in failures if failure)

    @rule(wanted=SELECTIONS, limit=st.integers(1, 5))
    def list_who_waits(self, wanted: Selection, limit: int) -> None:
        wanted = replace(wanted, numbers=None)
        assert self.listed_as_waiting(wanted, limit) == self.model.waiting_orders(wanted)

    @rule(request_id=st.sampled_from(["r-1", "r-2", "r-3", ""]))
    def find_what_was_done_to_many(self, request_id: str) -> None:
        of_it = [each for each in self.model.actions if each.by.request_id == request_id != ""]
        done = self.run(self.store.selections.find_bulk(request_id))
        assert (done.count if done else 0) == len(of_it)
        assert done is None or done.last == of_it[-1].accept_sequence

    @rule(wanted=FILTERS, limit=st.integers(1, 5))
    def search_the_log(self, wanted: OrderFilter, limit: int) -> None:
        found, after, goes_on = [], self.model.earliest, True
        while goes_on:
            page = self.run(self.store.read_log(wanted, after=after, limit=limit, max_bytes=PLENTY))
            found += page.completions
            after, goes_on = page.end, page.goes_on
        assert after == self.model.head
        log = self.model.log(self.model.earliest)
        assert found == [end for end in log if _is_wanted(wanted, end.order)]

    @invariant()
    def the_queue_and_the_log_are_the_models(self) -> None:
        self.commit(Changes(page=Page(after=FRONT, limit=PLENTY)))
        earliest = self.model.earliest
        assert self.run(whole_log(self.store, after=earliest)) == self.model.log(earliest)

    @invariant()
    def what_operators_did_is_the_models(self) -> None:
        assert self.run(actions(self.store)) == self.model.actions

    @invariant()
    def every_place_in_the_queue_is_the_models(self) -> None:
        last = len(self.model.held)
        for number in {1, 2, last // 2, last - 1, last, last + 1}:
            assert self.run(position(self.store, number)) == self.model.position(number)

    @invariant()
    def the_oldest_that_wait_are_the_models(self) -> None:
        oldest: dict[Tier, int] = {}
        for place in self.model.queue():
            oldest.setdefault(place.tier, self.model.held[place.accept_sequence].order.accept_time)
        assert self.run(self.store.oldest_waiting()) == oldest

    def run(self, asked: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(asked)

    def gone(self, numbers: Sequence[int]) -> list[Any]:
        """Write the places of orders that do not wait in the queue now, or never were."""
        queued = {place.accept_sequence for place in self.model.queue()}
        last = len(self.model.held)
        return [
            self.model.waiting(self.model.held[number]) if number <= last else strictly(number + 99)
            for number in numbers
            if number not in queued
        ]

    def commit(self, changes: Changes) -> Committed:
        committed: Committed = self.run(self.store.commit(changes))
        said = self.model.commit(changes, self.home.clock.now)
        if said.next_due is not None:
            assert committed.next_due is not None
            assert committed.next_due <= said.next_due
        is_shared = self.home.is_shared
        ours, models = (_comparable(each, is_shared=is_shared) for each in (committed, said))
        for field in fields(Committed):
            assert getattr(ours, field.name) == getattr(models, field.name), field.name
        return committed

    def find_no_room(self, changes: Changes) -> None:
        """Ask for changes when the disk is full: nothing is changed."""
        accepts = [*changes.accepts, [new(b"x" * 90_000)]]
        with self.home.full(), pytest.raises(StoreFull):
            self.run(self.store.commit(replace(changes, accepts=accepts)))

    def listed_as_waiting(self, wanted: Selection, limit: int) -> list[int]:
        found: list[int] = []
        after: int | None = 0
        while after is not None:
            listing = self.store.selections.list_waiting(wanted, after=after, limit=limit)
            page, after = self.run(listing)
            assert len(page) <= limit
            found += page
        return found

    def started(self, changes: Changes) -> MultipleResults[Lease]:
        committed = self.commit(changes)
        return multiple(*filter(None, committed.claimed), *committed.claimed_next)

    def restarted(self, opening: Coroutine[Any, Any, Any]) -> None:
        self.store = self.run(opening)
        found = self.store.recovery
        waits, quarantined = self.model.restart(self.home.policy, self.home.clock.now)
        assert (found.recovered, found.quarantined) == (waits, quarantined)
        assert found.counts == self.model.counts()
        assert (found.head, found.earliest) == (self.model.head, self.model.earliest)
        assert found.paused == self.model.paused
        kept = [held for name in self.model.workers for held in self.model.had_by(name)]
        assert found.kept == len(kept)


def _settles(ended: list[tuple[Lease, Ending]]) -> list[Settlement]:
    return [Settlement(lease=lease, ending=ending) for lease, ending in ended]


def _is_wanted(wanted: OrderFilter, order: Any) -> bool:  # noqa: ANN401
    return wanted.customer_id in (None, order.customer_id) and wanted.wants(order)


def _comparable(committed: Committed, *, is_shared: bool) -> Committed:
    """Give equal errors equal values; leave out what is but bounded, or not told by every store."""
    accepted: list[Any] = [_outcome(outcome, is_shared=is_shared) for outcome in committed.accepted]
    queued = [] if is_shared else sorted(committed.queued)
    return replace(
        committed,
        accepted=accepted,
        queued=queued,
        next_due=None,
        closed=set(committed.closed),
        news=sorted(committed.news),
        work=committed.work and replace(committed.work, repeated=list(committed.work.repeated)),
    )


def _outcome(outcome: Any, *, is_shared: bool) -> Any:  # noqa: ANN401 - whatever can be compared
    if isinstance(outcome, RequestIdReused):
        return outcome.accept_sequence
    return tuple(map(_of_shared, outcome)) if isinstance(outcome, tuple) and is_shared else outcome


def _of_shared(receipt: Receipt) -> Receipt:
    """A repeat is told as it stands a moment later; how safe all is, the database tells."""
    receipt = replace(receipt, durability=Durability.FSYNC)
    if not receipt.replayed:
        return receipt
    order = receipt.order
    if order.state is State.PROCESSING:  # perhaps by this very commit
        count = order.attempt_count - 1
        order = replace(unstarted(order), state=State.QUEUED, attempt_count=count)
    return replace(receipt, order=order, position=0)
