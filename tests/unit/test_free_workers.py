"""Which order a free worker takes: the most urgent; and what may kill the process, alone."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orderintake_server.dispatch.free_workers import FreeWorkers
from orderintake_server.dispatch.ready import ReadyQueue
from orderintake_server.dispatch.requests.pending import Pending
from orderintake_server.dispatch.requests.slots import Slots
from orderintake_server.domain import Lease, QueueEntry
from support.changes import strictly


@dataclass(eq=False)
class Answer:
    """As much of a future as a worker's ask needs."""

    is_done: bool = False

    def done(self) -> bool:
        return self.is_done


@dataclass
class Counter:
    """Slots over a queue of which all is in memory."""

    ready: ReadyQueue
    slots: FreeWorkers
    asks: list[Pending[None, Lease]] = field(default_factory=list)

    def free(self, count: int = 1) -> None:
        """Let so many workers ask."""
        for _ in range(count):
            ask: Pending[None, Lease] = Pending(None, answer=Answer())  # type: ignore[arg-type]
            self.asks.append(ask)
            self.slots.add(ask)

    def match(self) -> list[tuple[int, int]]:
        """Tell which order is given to which worker, by their numbers, from 1."""
        matched = self.slots.match()
        asks: list[object] = [*self.asks]
        return [(place.accept_sequence, asks.index(ask) + 1) for place, ask in matched]


def counter(*orders: QueueEntry, max_crashes: int = 3) -> Counter:
    ready = ReadyQueue()
    page = ready.missing()
    assert page is not None
    ready.fill(page, list(orders))
    return Counter(ready, FreeWorkers(ready, max_crashes=max_crashes))


def suspect(number: int, *, vip: bool = False) -> QueueEntry:
    return strictly(number, vip=vip, crash_count=2)


def test_the_most_urgent_order_goes_to_the_first_free_worker() -> None:
    here = counter(strictly(1), strictly(2), strictly(3, vip=True))
    here.free(2)
    assert here.match() == [(3, 1), (1, 2)]
    assert here.match() == []
    here.free(2)
    assert here.match() == [(2, 3)]
    here.ready.push(strictly(4))
    assert here.match() == [(4, 4)]


def test_nobody_is_given_anything_when_nothing_waits() -> None:
    here = counter()
    here.free()
    assert here.match() == []


def test_calls_that_were_left_are_not_kept_behind_a_slot_that_waits() -> None:
    slots = Slots()
    asks = [Pending(None, answer=Answer(is_done=number > 0)) for number in range(9)]  # type: ignore[arg-type,var-annotated]
    for ask in asks:
        slots.add(ask)
    assert list(slots.live()) == asks[:1]
    assert len(slots) == 1


def test_a_worker_that_was_stopped_is_passed_over() -> None:
    here = counter(strictly(1))
    here.free(2)
    here.asks[0].answer.is_done = True  # type: ignore[attr-defined]
    assert here.match() == [(1, 2)]


@pytest.mark.parametrize("first", [strictly(1), suspect(1)])
def test_a_suspect_waits_until_nothing_runs_and_whoever_is_behind_it_waits_too(
    first: QueueEntry,
) -> None:
    here = counter(first, suspect(2), strictly(3), strictly(4))
    here.free(4)
    assert here.match() == [(1, 1)]
    assert here.match() == []
    here.slots.ended(orders=1)
    assert here.match() == [(2, 2)]
    assert here.match() == []
    here.slots.ended(orders=1)
    assert here.match() == [(3, 3), (4, 4)]


def test_beside_a_suspect_nothing_starts_not_even_what_is_more_urgent() -> None:
    here = counter(suspect(1))
    here.free(3)
    assert here.match() == [(1, 1)]
    here.ready.push(strictly(2, vip=True))
    assert here.match() == []
    here.slots.ended(orders=1)
    assert here.match() == [(2, 2)]


def test_what_is_more_urgent_than_a_waiting_suspect_starts_before_it() -> None:
    here = counter(strictly(1), suspect(2))
    here.free(3)
    assert here.match() == [(1, 1)]
    here.ready.push(strictly(3, vip=True))
    assert here.match() == [(3, 2)]
    here.slots.ended(orders=2)
    assert here.match() == [(2, 3)]


def test_a_claim_of_nothing_frees_the_slot_again() -> None:
    here = counter(suspect(1), strictly(2))
    here.free()
    assert here.match() == [(1, 1)]
    here.slots.ended(orders=1)  # it waited no longer; the worker asks again
    here.slots.add(here.asks[0])
    assert here.match() == [(2, 1)]


@pytest.mark.parametrize(
    ("max_crashes", "crash_count", "is_alone"),
    [(1, 0, False), (1, 5, False), (2, 0, False), (2, 1, True), (3, 1, False), (3, 2, True)],
)
def test_an_order_is_a_suspect_before_the_last_crash_that_it_is_allowed(
    max_crashes: int, crash_count: int, *, is_alone: bool
) -> None:
    here = counter(strictly(1, crash_count=crash_count), strictly(2), max_crashes=max_crashes)
    here.free(2)
    assert len(here.match()) == (1 if is_alone else 2)


class SlotsMachine(RuleBasedStateMachine):
    """Workers that ask, take and end, whatever waits."""

    @initialize()
    def begin(self) -> None:
        self.here = counter()
        self.accepted = 0
        self.running: list[QueueEntry] = []
        self.waiting: set[QueueEntry] = set()

    @rule(vip=st.booleans(), crash_count=st.integers(0, 2))
    def accept(self, crash_count: int, *, vip: bool) -> None:
        self.accepted += 1
        place = strictly(self.accepted, vip=vip, crash_count=crash_count)
        self.waiting.add(place)
        self.here.ready.push(place)

    @rule(count=st.integers(1, 3))
    def free(self, count: int) -> None:
        self.here.free(count)

    @rule()
    def match(self) -> None:
        for place, _ in self.here.slots.match():
            assert place == min(self.waiting)
            self.waiting.remove(place)
            self.running.append(place)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 100))
    def end(self, which: int) -> None:
        del self.running[which % len(self.running)]
        self.here.slots.ended(orders=1)

    @invariant()
    def a_suspect_runs_alone(self) -> None:
        suspects = [place for place in self.running if place.crash_count == 2]
        assert not suspects or len(self.running) == 1

    @precondition(lambda self: not self.running and self.waiting)
    @rule()
    def when_nothing_runs_something_starts(self) -> None:
        self.here.free()
        self.match()
        assert self.running


TestSlotsMachine = SlotsMachine.TestCase
TestSlotsMachine.settings = settings(max_examples=50, stateful_step_count=50)
