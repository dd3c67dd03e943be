"""What a worker keeps of its calls and leases, whatever becomes of messages on the way."""

from dataclasses import dataclass

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orderintake.v1 import order_work_service_pb2 as api
from orderintake.v1.order_pb2 import Order
from orderintake.work.remote.book import MOST_SLOTS, MOST_WAITING, WAIT_SECONDS, About, Book, Call
from support.work_desk import WorkDesk

ME = About("me", "oven", 8)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def book_of(slots: int = 0, clock: Clock | None = None) -> Book[str]:
    """Make a book with so many free slots: s1, s2 …"""
    book: Book[str] = Book(ME, clock=clock or Clock())
    for number in range(1, slots + 1):
        book.offer(f"s{number}")
    return book


def due(book: Book[str]) -> Call[str]:
    """Give the call that is due."""
    call = book.next_call()
    assert call is not None
    return call


def answer(*leases: str, told: int = 0) -> api.LeaseOrdersResponse:
    """Make an answer with these leases, and so many outcomes recorded."""
    recorded = api.OutcomeStatus(result=api.OUTCOME_RESULT_RECORDED)
    orders = [api.LeasedOrder(lease=lease, order=Order(order_id=lease)) for lease in leases]
    return api.LeaseOrdersResponse(outcomes=[recorded] * told, orders=orders)


def at_work(*leases: str) -> Book[str]:
    """Make a book whose slots have these leases."""
    book = book_of(len(leases))
    book.answered(due(book), answer(*leases))
    return book


def done(lease: str) -> api.Outcome:
    """Make a good outcome."""
    return api.Outcome(lease=lease, succeeded=api.Succeeded())


def test_all_free_slots_are_offered_by_one_waiting_call() -> None:
    book = book_of(3)
    request = due(book).request
    assert (request.call, request.slots, list(request.outcomes)) == (1, 3, [])
    assert request.wait.ToMilliseconds() == WAIT_SECONDS * 1000
    assert book.next_call() is None


def test_more_slots_than_a_call_may_offer_go_by_further_calls() -> None:
    book = book_of(MOST_SLOTS + 1)
    assert [due(book).request.slots, due(book).request.slots] == [MOST_SLOTS, 1]


def test_a_waiting_call_ends_with_the_one_before_it_so_that_both_are_merged() -> None:
    clock = Clock()
    book = book_of(1, clock)
    first = due(book)
    clock.now += 4.0
    book.offer("late")
    second = due(book)
    assert second.ends == pytest.approx(first.ends)
    for call in (first, second):
        book.answered(call, answer())
    assert sorted(due(book).slots) == ["late", "s1"]


def test_no_more_calls_wait_than_a_server_lets_a_worker_have() -> None:
    book = book_of()
    for number in range(MOST_WAITING):
        book.offer(f"{number}")
        due(book)
    book.offer("one more")
    assert book.next_call() is None


def test_what_ends_rides_with_the_offer_of_its_slot() -> None:
    book = at_work("a")
    book.end(done("a"))
    book.offer("s1")
    request = due(book).request
    assert (request.call, request.slots, [each.lease for each in request.outcomes]) == (2, 1, ["a"])
    assert request.wait.ToMilliseconds() == 0


def test_two_calls_with_outcomes_are_under_way_and_the_next_takes_all_that_ended() -> None:
    book = at_work("a", "b", "c", "d")
    calls = []
    for lease in "abcd":
        book.end(done(lease))
        calls.append(book.next_call())
    assert [call is not None for call in calls] == [True, True, False, False]
    assert calls[0] is not None
    book.answered(calls[0], answer(told=1))
    assert [each.lease for each in due(book).request.outcomes] == ["c", "d"]


def test_each_order_starts_in_a_slot_of_its_call_and_the_others_are_free_again() -> None:
    book = book_of(3)
    started = book.answered(due(book), answer("a", "b"))
    assert [(slot, told.lease) for slot, told in started] == [("s1", "a"), ("s2", "b")]
    assert due(book).slots == ["s3"]


def test_what_comes_for_a_slot_that_was_withdrawn_is_returned() -> None:
    book = book_of(2)
    call = due(book)
    book.withdraw("s1")
    assert [slot for slot, _ in book.answered(call, answer("a", "b"))] == ["s2"]
    (outcome,) = due(book).request.outcomes
    assert (outcome.lease, outcome.WhichOneof("outcome")) == ("b", "returned")


def test_an_answer_counts_once_and_not_at_all_when_its_call_was_given_up() -> None:
    book = book_of(1)
    call = due(book)
    assert book.answered(call, answer("a"))
    assert book.answered(call, answer("a")) == []
    book = book_of(1)
    call = due(book)
    book.gave_up(call)
    assert book.answered(call, answer("a")) == []
    assert book.inventory() == api.Inventory(last_call=1)


def test_the_outcomes_of_a_call_that_was_given_up_are_told_by_another_one() -> None:
    book = at_work("a", "b", "c")
    for lease in "abc":
        book.end(done(lease))
    call = due(book)
    book.gave_up(call)
    book.gave_up(call)
    again = due(book)
    assert again.request.call == call.request.call + 1
    assert again.request.outcomes == call.request.outcomes
    assert book.untold == len("abc")


def test_the_inventory_has_every_lease_without_an_answer_sent_or_not() -> None:
    book = at_work("a", "b", "c")
    book.end(done("a"))
    call = due(book)
    book.end(done("b"))
    had = book.inventory()
    assert (list(had.held), had.last_call, list(had.open_calls)) == (["a", "b", "c"], 2, [2])
    book.answered(call, answer(told=1))
    assert list(book.inventory().held) == ["b", "c"]


def test_a_lost_lease_is_not_told_of_unless_its_outcome_is_on_its_way() -> None:
    book = at_work("a", "b", "c")
    book.end(done("a"))
    call = due(book)
    book.end(done("b"))
    assert book.lost(["a", "b", "c", "unknown"]) == ["b", "c"]
    assert not book.end(done("c"))
    book.answered(call, answer(told=1))
    assert (book.next_call(), book.held, book.untold) == (None, 0, 0)


def test_outcomes_that_were_refused_together_are_told_alone_and_the_bad_one_is_dropped() -> None:
    book = at_work("a", "b")
    for lease in "ab":
        book.end(done(lease))
    assert book.refused(due(book)) == []
    first, second = due(book), due(book)
    assert [len(call.request.outcomes) for call in (first, second)] == [1, 1]
    book.answered(first, answer(told=1))
    assert book.refused(second) == ["b"]
    assert (book.held, book.untold) == (0, 0)


def test_a_worker_that_stops_offers_nothing_and_tells_all() -> None:
    book = at_work("a")
    book.stop()
    book.offer("s1")
    assert book.next_call() is None
    book.end(done("a"))
    assert due(book).request.slots == 0


@dataclass
class Sent:
    """One try of a call."""

    call: Call[str]
    response: api.LeaseOrdersResponse | None = None


class Walk(RuleBasedStateMachine):
    """One worker and a server, with messages lost, late and doubled in between."""

    book_kind: type[Book[str]] = Book

    def __init__(self) -> None:
        super().__init__()
        self.desk = WorkDesk()
        self.book = self.book_kind(ME)
        self.running: dict[str, str] = {}
        """The order of each lease whose handler runs."""
        self.tries: dict[int, Sent] = {}
        """The try of each open call whose answer counts."""
        self.net: list[Sent] = []
        self.keeps: list[api.KeepLeasesRequest] = []
        self.placed = self.slots = 0
        self.was_silent = False
        """Whether the server took the worker for dead: then it may start again what still runs."""

    @rule(count=st.integers(1, 4))
    def place(self, count: int) -> None:
        for _ in range(count):
            self.placed += 1
            self.desk.place(f"order-{self.placed}")

    @rule(count=st.integers(1, 3))
    def offer(self, count: int) -> None:
        for _ in range(count if self.slots < 8 else 0):
            self.slots += 1
            self.book.offer(f"slot-{self.slots}")
        self.call()

    def call(self) -> None:
        while call := self.book.next_call():
            self.send(call)

    def send(self, call: Call[str]) -> None:
        self.tries[call.request.call] = sent = Sent(call)
        self.net.append(sent)

    @precondition(lambda self: self.net)
    @rule(data=st.data(), is_doubled=st.booleans())
    def arrive(self, data: st.DataObject, *, is_doubled: bool) -> None:
        sent = data.draw(st.sampled_from(self.net), label="request")
        if not is_doubled:
            self.net.remove(sent)
        sent.response = self.desk.lease(sent.call.request)

    @precondition(lambda self: self.tries)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.tries)), label="answer")
        sent = self.tries[number]
        if sent.response is not None:
            del self.tries[number]
            for _, told in self.book.answered(sent.call, sent.response):
                assert told.lease not in self.running, "given twice"
                assert self.was_silent or told.order.order_id not in self.running.values()
                self.running[told.lease] = told.order.order_id
            self.call()

    @precondition(lambda self: self.tries)
    @rule(data=st.data(), gives_up=st.booleans())
    def fail(self, data: st.DataObject, *, gives_up: bool) -> None:
        """Lose an answer, or the request itself: it may still arrive. Repeat the call as it was."""
        number = data.draw(st.sampled_from(sorted(self.tries)), label="lost")
        call = self.tries.pop(number).call
        if gives_up and not call.request.outcomes:
            self.book.gave_up(call)
        else:
            self.send(call)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), is_done=st.booleans())
    def finish(self, data: st.DataObject, *, is_done: bool) -> None:
        lease = data.draw(st.sampled_from(sorted(self.running)), label="lease")
        del self.running[lease]
        outcome = done(lease) if is_done else api.Outcome(lease=lease, returned=api.Returned())
        self.book.end(outcome)
        self.slots += 1
        self.book.offer(f"slot-{self.slots}")
        self.call()

    @rule()
    def look(self) -> None:
        self.keeps.append(api.KeepLeasesRequest(worker_id="me", inventory=self.book.inventory()))

    @precondition(lambda self: self.keeps)
    @rule(data=st.data(), is_lost=st.booleans())
    def keep(self, data: st.DataObject, *, is_lost: bool) -> None:
        request = data.draw(st.sampled_from(self.keeps), label="inventory")
        self.keeps.remove(request)
        response = self.desk.keep(request)
        if not is_lost:
            for lease in self.book.lost(response.lost):
                self.running.pop(lease, None)

    @rule()
    def silence(self) -> None:
        """Take the worker for dead."""
        self.was_silent = True
        for lease in list(self.desk.leases):
            self.desk.take_back(lease)

    @invariant()
    def nothing_that_it_has_is_taken_back(self) -> None:
        has = set(self.book.inventory().held)
        assert not has & set(self.desk.taken_back)

    @invariant()
    def an_order_completes_once(self) -> None:
        completed = self.desk.completed()
        assert len(completed) == len(set(completed))

    def teardown(self) -> None:
        """Let every message come through: every order is completed, and nothing is left."""
        self.net.clear()
        self.keeps.clear()
        self.slots += 1
        self.book.offer(f"slot-{self.slots}")
        for _ in range(20 * (self.placed + self.slots)):
            self.settle()
        assert sorted(self.desk.completed()) == sorted(
            f"order-{number}" for number in range(1, self.placed + 1)
        )
        assert (self.book.held, self.book.untold) == (0, 0)

    def settle(self) -> None:
        self.call()
        response = self.desk.keep(
            api.KeepLeasesRequest(worker_id="me", inventory=self.book.inventory())
        )
        for lease in self.book.lost(response.lost):
            self.running.pop(lease, None)
        for number in list(self.tries):
            call = self.tries.pop(number).call
            for _, told in self.book.answered(call, self.desk.lease(call.request)):
                self.running[told.lease] = told.order.order_id
        for lease in list(self.running):
            del self.running[lease]
            self.book.end(done(lease))
            self.slots += 1
            self.book.offer(f"slot-{self.slots}")


def walk(machine: type[Walk], examples: int) -> None:
    """Try so many walks, or a part of them in a short run."""
    count = max(examples * settings().max_examples // 100, 1)
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=count, stateful_step_count=40, phases=(Phase.generate,)),
    )


def test_whatever_becomes_of_messages_nothing_is_lost_and_nothing_is_done_twice() -> None:
    walk(Walk, 20)


class WithoutLastCall(Book[str]):
    """A book with an error in it."""

    def inventory(self) -> api.Inventory:
        found = super().inventory()
        found.last_call = 1 << 40
        return found


class WithoutOpenCalls(Book[str]):
    """A book with an error in it."""

    def inventory(self) -> api.Inventory:
        found = super().inventory()
        found.ClearField("open_calls")
        return found


class WithoutSent(Book[str]):
    """A book with an error in it."""

    def inventory(self) -> api.Inventory:
        found = super().inventory()
        sent = {each.lease for call in self._open.values() for each in call.request.outcomes}
        kept = [lease for lease in found.held if lease not in sent]
        return api.Inventory(held=kept, last_call=found.last_call, open_calls=found.open_calls)


@pytest.mark.seconds
@pytest.mark.timeout(300)
@pytest.mark.parametrize("planted", [WithoutLastCall, WithoutOpenCalls, WithoutSent])
def test_the_walk_finds_an_error_in_the_inventory(planted: type[Book[str]]) -> None:
    class Planted(Walk):
        book_kind = planted

    with pytest.raises(AssertionError):
        walk(Planted, 10_000)  # it ends where it finds one: mostly among the first hundreds
