"""Whatever is done to a store, in whatever order: it answers as the model does."""

import asyncio
import copy
import tempfile
from collections.abc import Coroutine
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orderintake_server.domain import Completion, Ending, Order, Receipt
from orderintake_server.errors import RequestIdReused, StoreFull
from orderintake_server.store.base import Changes, Committed, Lease, Page, Settlement
from support.changes import DONE, FAILED, FRONT, PLENTY, new, waiting, whole_log
from support.store_model import StoreModel, bare
from support.stores import KINDS, Home

T = TypeVar("T")

ORDERS = st.builds(
    new,
    st.sampled_from([b"tea", b"cake", b"x" * 9000]),
    vip=st.booleans(),
    customer_id=st.sampled_from(["ada", "bob"]),
    request_id=st.sampled_from([None, "1", "2", "3", "4"]),
)
GROUPS = st.lists(st.lists(ORDERS, max_size=4), max_size=4)
ROOM = st.one_of(st.just(PLENTY), st.integers(-1, 6))
NUMBER = st.integers(1, 20)
NUMBERS = st.lists(NUMBER, max_size=5)
ENDINGS = st.sampled_from([DONE, FAILED, Ending(result=b"r" * 9000)])
RECENT = st.lists(st.integers(0, 5), max_size=4)
ENDED = st.lists(st.tuples(st.integers(0, 5), ENDINGS), max_size=4)
LARGE = new(b"x" * 9000)
"""More than is free in any page of a file."""


class StoreMachine(RuleBasedStateMachine):
    """A store and its model, side by side."""

    def __init__(self, kind: type[Any]) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.home: Home = kind(Path(self.directory.name))
        self.store = self.run(self.home.open())
        self.model = StoreModel()
        self.leases: list[Lease] = []

    def teardown(self) -> None:
        self.run(self.home.close())
        self.runner.close()
        self.directory.cleanup()

    @rule(groups=GROUPS, room=ROOM)
    def place(self, groups: list[Any], room: int) -> None:
        self.commit(Changes(accepts=groups, room=room))

    @rule(count=st.integers(1, 6))
    def start_the_most_urgent(self, count: int) -> None:
        self.commit(Changes(claims=self.model.queue()[:count]))

    @rule(numbers=NUMBERS)
    def start_any_that_may_be_gone(self, numbers: list[int]) -> None:
        self.commit(Changes(claims=[self.model.place(number) for number in numbers]))

    @precondition(lambda self: bool(self.leases))
    @rule(ended=ENDED)
    def settle(self, ended: list[tuple[int, Ending]]) -> None:
        self.commit(Changes(settles=self.settles(ended)))

    @precondition(lambda self: bool(self.leases))
    @rule(which=RECENT)
    def give_back(self, which: list[int]) -> None:
        self.commit(Changes(returns=self.recent(which)))

    @rule(
        ended=ENDED,
        returned=RECENT,
        groups=GROUPS,
        numbers=NUMBERS,
        is_full=st.booleans(),
    )
    def do_all_at_once(
        self,
        ended: list[tuple[int, Ending]],
        returned: list[int],
        groups: list[Any],
        numbers: list[int],
        *,
        is_full: bool,
    ) -> None:
        changes = Changes(
            settles=self.settles(ended),
            returns=self.recent(returned),
            accepts=[*groups, [LARGE]] if is_full else groups,
            room=PLENTY,
            page=Page(after=FRONT, limit=5),
        )
        then = copy.deepcopy(self.model)
        then.commit(changes)
        changes = replace(changes, claims=[then.place(number) for number in numbers])
        with self.home.full() if is_full else nullcontext(), suppress(StoreFull):
            self.commit(changes)

    @rule(number=NUMBER, after=NUMBER, limit=st.integers(0, 5))
    def read(self, number: int, after: int, limit: int) -> None:
        found = self.run(self.store.find(number))
        assert (found and _timeless(found)) == self.model.find(number)
        page = self.run(self.store.read_log(after=after, limit=limit, max_bytes=PLENTY))
        assert [_timeless(completion) for completion in page] == self.model.log[after:][:limit]
        self.commit(Changes(page=Page(after=self.model.place(number), limit=limit)))

    @rule(is_crash=st.booleans())
    def open_again(self, *, is_crash: bool) -> None:
        if is_crash:
            self.store = self.run(self.home.crash())
        else:
            self.run(self.home.close())
            self.store = self.run(self.home.open())
        found = self.store.found
        assert found.recovered == self.model.recover()
        assert found.waiting == len(self.model.queue())
        assert found.head == len(self.model.log)

    @invariant()
    def the_queue_and_the_log_are_the_models(self) -> None:
        assert self.run(waiting(self.store)) == self.model.queue()
        log = self.run(whole_log(self.store))
        assert [_timeless(completion) for completion in log] == self.model.log

    def run(self, asked: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(asked)

    def commit(self, changes: Changes) -> None:
        committed = self.run(self.store.commit(changes))
        assert _comparable(committed) == _comparable(self.model.commit(changes))
        self.leases += [lease for lease in committed.claimed if lease]

    def settles(self, ended: list[tuple[int, Ending]]) -> list[Settlement]:
        leases = self.recent([number for number, _ in ended])
        return [
            Settlement(lease=lease, ending=ending)
            for lease, (_, ending) in zip(leases, ended, strict=False)
        ]

    def recent(self, which: list[int]) -> list[Lease]:
        """Choose among the latest leases, some of which are good."""
        return [self.leases[-1 - number % len(self.leases)] for number in which if self.leases]


def _comparable(committed: Committed) -> Committed:
    """Leave out the times, and give equal errors equal values."""
    accepted: list[Any] = [
        tuple(_timeless_receipt(receipt) for receipt in outcome)
        if isinstance(outcome, tuple)
        else outcome.accept_sequence
        if isinstance(outcome, RequestIdReused)
        else outcome
        for outcome in committed.accepted
    ]
    claimed = [lease and replace(lease, order=bare(lease.order)) for lease in committed.claimed]
    return replace(committed, accepted=accepted, claimed=claimed)


def _timeless_receipt(receipt: Receipt) -> Receipt:
    return replace(receipt, order=bare(receipt.order))


def _timeless(found: Order | Completion) -> Order | Completion:
    if isinstance(found, Completion):
        return replace(found, order=bare(found.order))
    return bare(found)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_store_answers_as_the_model_does(kind: type[Any]) -> None:
    _run(kind, examples=30, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_store_answers_as_the_model_does_for_long(kind: type[Any]) -> None:
    _run(kind, examples=150, steps=60)


def _run(kind: type[Any], *, examples: int, steps: int) -> None:
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(kind)

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=examples, stateful_step_count=steps)
    )
