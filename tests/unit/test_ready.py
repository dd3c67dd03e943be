"""The front of the queue in memory: always the most urgent there is, and never too much of it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orderintake_server.dispatch.ready import ReadyQueue
from orderintake_server.domain import Tier, Waiting, rank
from orderintake_server.store.base import Page

TIERS = st.lists(st.sampled_from(Tier), min_size=1, max_size=12)


def order(sequence: int, *, vip: bool = False) -> Waiting:
    return Waiting(rank(Tier.VIP if vip else Tier.REGULAR, sequence), sequence, 0)


def now(asked: Coroutine[Any, Any, Waiting]) -> Waiting:
    """Run what does not have to wait."""
    with pytest.raises(StopIteration) as returned:
        asked.send(None)
    popped: Waiting = returned.value.value
    return popped


def read(held: list[Waiting], page: Page) -> list[Waiting]:
    """Read a page as a store with these orders would."""
    return [place for place in sorted(held) if place[:2] > page.after[:2]][: page.limit]


class ReadyMachine(RuleBasedStateMachine):
    """A queue, the store behind it, and a ledger that commits in two steps: asked, and told."""

    @initialize(found=st.lists(st.sampled_from(Tier), max_size=20), window=st.integers(1, 5))
    def begin(self, found: list[Tier], window: int) -> None:
        self.window = window
        self.ready = ReadyQueue(window=window)
        self.accepted = 0
        self.stored: list[Waiting] = []
        self.known: set[Waiting] = set()
        self.popped: list[Waiting] = []
        self.running: list[Waiting] = []
        self.inbox: list[Waiting] = []
        self.claims: list[Waiting] = []
        self.committing: tuple[list[Waiting], Page | None, list[Waiting]] | None = None
        self.accept(found)
        self.stored, self.inbox = self.inbox, []
        self.known = set(self.stored)

    @rule(tiers=TIERS)
    def accept(self, tiers: list[Tier]) -> None:
        for tier in tiers:
            self.accepted += 1
            self.inbox.append(Waiting(rank(tier, self.accepted), self.accepted, 0))

    @precondition(lambda self: len(self.ready) > 0)
    @rule()
    def pop(self) -> None:
        place = now(self.ready.pop())
        assert place == min(self.known)
        self.known.remove(place)
        self.claims.append(place)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 100), attempts=st.integers(0, 2))
    def give_back(self, which: int, attempts: int) -> None:
        place = self.running.pop(which % len(self.running))
        self.inbox.append(place._replace(attempt_count=attempts))

    @precondition(lambda self: self.committing is None)
    @rule()
    def commit(self) -> None:
        page = self.ready.missing()
        self.running += self.claims
        self.stored = [place for place in self.stored if place not in self.claims] + self.inbox
        self.committing = (self.inbox, page, read(self.stored, page) if page else [])
        self.inbox, self.claims = [], []

    @precondition(lambda self: self.committing is not None)
    @rule()
    def tell(self) -> None:
        assert self.committing is not None
        pushed, page, found = self.committing
        self.committing = None
        for place in pushed:
            self.ready.push(place)
        if page:
            self.ready.fill(page, found)
        self.known |= set(pushed)

    @precondition(lambda self: self.committing is None)
    @rule()
    def commit_until_nothing_is_missing(self) -> None:
        while True:
            self.commit()
            self.tell()
            if self.ready.missing() is None:
                break
        assert len(self.ready) >= min(len(self.known), self.window // 2)
        assert bool(len(self.ready)) == bool(self.known)

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.ready) <= 2 * self.window


TestReadyMachine = ReadyMachine.TestCase
TestReadyMachine.settings = settings(max_examples=100, stateful_step_count=60)


async def test_who_waits_for_an_order_gets_the_first_that_comes() -> None:
    ready = ReadyQueue()
    waiting = asyncio.create_task(ready.pop())
    await asyncio.sleep(0)
    assert not waiting.done()
    ready.push(order(1))  # beyond the horizon as yet: nothing has been read
    await asyncio.sleep(0)
    assert not waiting.done()
    page = ready.missing()
    assert page is not None
    ready.fill(page, [order(1)])
    assert await waiting == order(1)


async def test_who_leaves_takes_no_order_with_it() -> None:
    ready = ReadyQueue()
    page = ready.missing()
    assert page is not None
    ready.fill(page, [])
    leaving = asyncio.create_task(ready.pop())
    await asyncio.sleep(0)
    ready.push(order(1))
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert now(ready.pop()) == order(1)


async def test_pains_10_each_of_many_equal_orders_comes_in_its_turn() -> None:
    ready = ReadyQueue()
    page = ready.missing()
    assert page is not None
    ready.fill(page, [order(number) for number in range(1, 1001)])
    assert [now(ready.pop()).accept_sequence for _ in range(1000)] == list(range(1, 1001))


def test_at_first_everything_is_in_the_store() -> None:
    ready = ReadyQueue(window=3)
    assert ready.missing() == Page(after=Waiting(-1, 0, 0), limit=3)
    assert len(ready) == 0


def test_a_short_page_means_that_all_is_here() -> None:
    ready = ReadyQueue(window=3)
    page = ready.missing()
    assert page is not None
    ready.fill(page, [order(1), order(2)])
    assert ready.missing() is None
    ready.push(order(3))
    assert len(ready) == 3


def test_the_next_page_is_wanted_when_half_of_one_is_left() -> None:
    ready = ReadyQueue(window=4)
    page = ready.missing()
    assert page is not None
    ready.fill(page, [order(number) for number in range(1, 5)])
    assert ready.missing() is None
    now(ready.pop())
    assert ready.missing() is None
    now(ready.pop())
    assert ready.missing() == Page(after=order(4), limit=4)


def test_a_page_asked_before_the_horizon_moved_is_left_out() -> None:
    ready = ReadyQueue(window=2)
    first = ready.missing()
    assert first is not None
    ready.fill(first, [order(11), order(12)])
    now(ready.pop())
    page = ready.missing()
    assert page is not None
    for number in range(1, 5):
        ready.push(order(number, vip=True))  # now it is cut, and 12 is in the store only
    ready.fill(page, [order(13), order(14)])
    assert [now(ready.pop()).accept_sequence for _ in range(len(ready))] == [1, 2]
