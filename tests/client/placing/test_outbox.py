"""P23 from the caller's side: however calls are cut, each order is accepted once, in its order."""

from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.completions.subscribed import GONE, Clock
from client.fake_placing import started
from client.fake_server import Refusal
from orderintake import InvalidOrder, OrderIntakeError, PlaceOrderResponse
from orderintake.errors import (
    ContractBroken,
    DeadlineExceeded,
    InternalError,
    TooManyStreams,
    Unavailable,
)
from orderintake.requests import place_order
from orderintake.status import Status
from orderintake.streams.comeback import ATTEMPTS, RESUMABLE
from orderintake.streams.outbox import LARGEST_BYTES, MOST_BYTES, MOST_ORDERS, Outbox
from orderintake.v1 import order_intake_service_pb2 as api

TIMEOUT = 30.0
FULL = Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="QUEUE_FULL", retry_after=2.0)
BAD = Refusal(
    code=grpc.StatusCode.INVALID_ARGUMENT,
    reason="INVALID_ORDER",
    violations={"lines": "has 0 lines"},
)


@dataclass
class Placed:
    """A future that keeps every result that it is given."""

    results: list[Any] = field(default_factory=list)
    is_cancelled: bool = False

    def done(self) -> bool:
        return self.is_cancelled

    def set_result(self, result: PlaceOrderResponse, /) -> None:
        self.results.append(result)

    def set_exception(self, exception: Exception, /) -> None:
        self.results.append(exception)

    @property
    def result(self) -> Any:  # noqa: ANN401 - a receipt or an error
        (result,) = self.results
        return result


class Server:
    """What a right server does: it accepts each request_id once, or refuses as it is told.

    What it refused for good, though the answer was lost, it refuses again.
    """

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self._refused: set[str] = set()

    def result(
        self, index: int, request: api.PlaceOrderRequest, refusal: Refusal | None = None
    ) -> api.PlaceOrdersResult:
        result = api.PlaceOrdersResult(index=index)
        if refusal is BAD:
            self._refused.add(request.request_id)
        elif request.request_id in self._refused:
            refusal = BAD
        if refusal is not None:
            result.refusal.MergeFromString(refusal.details())
        else:
            result.receipt.replayed = request.request_id in self.accepted
            if not result.receipt.replayed:
                self.accepted.append(request.request_id)
            result.receipt.order.order_id = request.request_id
        return result


class Caller:
    """Leads an outbox by hand, on calls to a server of its own."""

    def __init__(self, *, window: int = 1_000, jitter: float = 1.0) -> None:
        self.clock = Clock()
        self.outbox: Outbox[Placed] = Outbox(
            timeout=TIMEOUT, clock=self.clock, jitter=lambda: jitter
        )
        self.server = Server()
        self.placed: list[Placed] = []
        self.window = window
        self.outbox.begin()
        self._on_way: list[api.PlaceOrderRequest] = []
        self._index = 0
        self.open()

    def open(self) -> None:
        self.outbox.opened()
        self._on_way, self._index, self._is_cut = [], 0, False
        self.put(self.outbox.received(started(self.window)))

    def place(self, **order: Any) -> Placed:  # noqa: ANN401 - an order's fields
        number = len(self.placed)
        chosen: Any = {"customer_id": "ada", "lines": {"tea": 1}, "request_id": f"r{number}"}
        placed = Placed()
        self.outbox.add(place_order(**(chosen | order)), placed)
        self.placed.append(placed)
        return placed

    def send(self) -> int:
        """Send one message; tell how many orders it had."""
        message = self.outbox.message()
        if message is None:
            return 0
        self._on_way += message.orders
        return len(message.orders)

    def answer(self, *refusals: Refusal | None, is_lost: bool = False) -> None:
        """Let the server take as many orders as there are refusals (None: it accepts).

        If the answers are lost, so is what the call brings from then on.
        """
        taken, self._on_way = self._on_way[: len(refusals)], self._on_way[len(refusals) :]
        results = [
            self.server.result(self._index + at, request, refusals[at])
            for at, request in enumerate(taken)
        ]
        self._index += len(taken)
        self._is_cut = self._is_cut or is_lost
        if not self._is_cut:
            self.put(self.outbox.received(api.PlaceOrdersResponse(results=results)))

    def answer_all(self) -> None:
        while self.send():
            pass
        self.answer(*[None] * len(self._on_way))

    def put(self, results: Any) -> None:  # noqa: ANN401 - of an outbox
        for result in results:
            result.put()

    def lose(self, error: OrderIntakeError | None = GONE) -> None:
        self.put(self.outbox.lost(error))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["place", "send", "accept", "lose answers", "refuse", "full", "cut"]),
        st.integers(1, 5),
    ),
    max_size=40,
)
CUTS = st.sampled_from(["error", "end", "going away", "expired"])


@given(data=st.data(), steps=STEPS, window=st.integers(1, 7))
def test_p23_however_calls_are_cut_each_order_is_accepted_once_and_has_one_result(
    data: st.DataObject, steps: list[tuple[str, int]], window: int
) -> None:
    caller = Caller(window=window)
    for step, count in steps:
        if step == "cut":
            cut(caller, data.draw(CUTS))
        elif step == "place":
            for _ in range(count):
                if not caller.outbox.is_full:
                    caller.place()
        elif step == "send":
            caller.send()
        else:
            refusal = {"refuse": BAD, "full": FULL}.get(step)
            caller.answer(*[refusal] * count, is_lost=step == "lose answers")
            caller.clock.now += caller.outbox.held_seconds()
    caller.outbox.close()
    cut(caller, "error")
    caller.clock.now += caller.outbox.held_seconds()
    caller.answer_all()
    assert caller.outbox.is_over
    check(caller, is_in_order=all(step != "full" for step, _ in steps))


def cut(caller: Caller, how: str) -> None:
    """End the call, and open another."""
    if how == "going away":
        going = api.PlaceOrdersResponse(signal=api.SIGNAL_GOING_AWAY)
        caller.put(caller.outbox.received(going))
        assert caller.outbox.message() is None
    if how != "expired" or not caller.outbox.goes_on_renewed():
        caller.lose(None if how == "end" else GONE)
    caller.open()


def check(caller: Caller, *, is_in_order: bool) -> None:
    ids = [f"r{number}" for number in range(len(caller.placed))]
    outcomes = dict(zip(ids, (each.result for each in caller.placed), strict=True))
    received = [each for each in ids if isinstance(outcomes[each], PlaceOrderResponse)]
    assert len(caller.server.accepted) == len(set(caller.server.accepted))
    assert set(received) <= set(caller.server.accepted)
    for each in received:
        assert outcomes[each].order.order_id == each
    for each in set(ids) - set(received):  # or an answer was lost, and then it was refused
        assert isinstance(outcomes[each], InvalidOrder | Unavailable)
    if is_in_order:
        assert caller.server.accepted == sorted(caller.server.accepted, key=ids.index)


def test_what_waits_goes_in_one_message_in_its_order() -> None:
    caller = Caller()
    for _ in range(5):
        caller.place()
    message = caller.outbox.message()
    assert message is not None
    assert [order.request_id for order in message.orders] == ["r0", "r1", "r2", "r3", "r4"]
    assert caller.outbox.message() is None


def test_a_message_holds_no_more_than_it_may() -> None:
    caller = Caller(window=10_000)
    for _ in range(MOST_ORDERS + 1):
        caller.place()
    assert [caller.send(), caller.send(), caller.send()] == [MOST_ORDERS, 1, 0]
    for _ in range(3):
        caller.place(labels={"k": "x" * (MOST_BYTES * 2 // 5)})
    assert [caller.send(), caller.send(), caller.send()] == [2, 1, 0]
    caller.place(labels={"k": "x" * 2 * MOST_BYTES})
    assert caller.send() == 1


def test_what_fits_into_no_message_is_not_taken() -> None:
    caller = Caller()
    with pytest.raises(ValueError, match="fits into no message"):
        caller.place(labels={"k": "x" * LARGEST_BYTES})
    assert not len(caller.outbox)


def test_it_is_full_with_as_many_as_the_server_says() -> None:
    caller = Caller(window=2)
    caller.place()
    assert not caller.outbox.is_full
    caller.place()
    assert caller.outbox.is_full
    caller.answer_all()
    assert not caller.outbox.is_full


def test_a_server_that_takes_less_than_the_one_before_is_sent_less() -> None:
    caller = Caller(window=5)
    for _ in range(5):
        caller.place()
    caller.lose()
    caller.window = 2
    caller.open()
    assert (caller.send(), caller.send()) == (2, 0)


def test_nothing_is_sent_before_the_server_says_that_it_began() -> None:
    caller = Caller()
    caller.place()
    caller.lose()
    caller.outbox.opened()
    assert caller.send() == 0
    caller.put(caller.outbox.received(started()))
    assert caller.send() == 1


def test_only_what_has_no_result_is_sent_again() -> None:
    caller = Caller()
    for _ in range(4):
        caller.place()
    caller.send()
    caller.answer(None, BAD)
    caller.lose()
    caller.open()
    caller.answer_all()
    assert caller.server.accepted == ["r0", "r2", "r3"]
    assert isinstance(caller.placed[1].result, InvalidOrder)
    assert caller.placed[1].result.violations[0].field == "lines"


def test_an_order_refused_for_now_is_sent_again_when_the_server_says() -> None:
    caller = Caller()
    first, second = caller.place(), caller.place()
    caller.send()
    caller.answer(FULL, None)
    assert (first.results, len(second.results)) == ([], 1)
    assert caller.outbox.held_seconds() == 2.0
    caller.place()
    assert caller.send() == 0, "later orders wait for the one that was refused"
    caller.clock.now += 2.0
    message = caller.outbox.message()
    assert message is not None
    assert [order.request_id for order in message.orders] == ["r0", "r2"]


def test_an_order_refused_for_now_five_times_is_refused() -> None:
    caller = Caller()
    placed = caller.place()
    for _ in range(ATTEMPTS):
        assert placed.results == []
        caller.clock.now += caller.outbox.held_seconds()
        caller.send()
        caller.answer(FULL)
    assert (placed.result.reason, placed.result.retry_after) == ("QUEUE_FULL", 2.0)
    caller.place()
    assert caller.outbox.held_seconds() == 0


def test_an_order_is_not_sent_again_later_than_its_caller_waits() -> None:
    caller = Caller()
    placed = caller.place()
    caller.send()
    caller.answer(Refusal(code=grpc.StatusCode.UNAVAILABLE, retry_after=TIMEOUT + 1))
    assert isinstance(placed.result, Unavailable)


def test_a_quota_is_its_orders_own_matter() -> None:
    caller = Caller()
    placed = caller.place()
    caller.send()
    caller.answer(Refusal(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="CUSTOMER_QUOTA"))
    assert placed.result.reason == "CUSTOMER_QUOTA"


@pytest.mark.parametrize("code", grpc.StatusCode, ids=lambda code: code.name)
def test_it_comes_back_from_what_may_pass_and_ends_with_the_rest(code: grpc.StatusCode) -> None:
    caller = Caller()
    placed = caller.place()
    error = OrderIntakeError(Status(code=code, message="no"))
    caller.lose(error)
    passes = {*RESUMABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
    assert placed.results == ([] if code in passes else [error])
    if code not in passes:
        with pytest.raises(OrderIntakeError) as caught:
            caller.place()
        assert caught.value is error


def test_a_bug_of_the_server_is_no_cut() -> None:
    caller = Caller()
    placed = caller.place()
    error = InternalError(Status(code=grpc.StatusCode.INTERNAL, message="no", reason="INTERNAL"))
    caller.lose(error)
    assert placed.result is error


def test_it_gives_up_when_nothing_came_for_as_long_as_its_caller_waits() -> None:
    caller = Caller()
    first = caller.place()
    caller.clock.now = TIMEOUT - 1
    caller.answer_all()
    second = caller.place()
    caller.clock.now += TIMEOUT - 1
    caller.lose()
    caller.outbox.opened()
    caller.clock.now += 1
    caller.lose()
    assert isinstance(first.result, PlaceOrderResponse)
    assert second.result is GONE
    assert caller.outbox.ended


def test_a_silent_server_is_given_up_in_time_and_an_idle_one_never() -> None:
    caller = Caller()
    assert caller.outbox.seconds_left() is None
    caller.clock.now = 1_000.0
    placed = caller.place()
    assert caller.outbox.seconds_left() == TIMEOUT
    caller.clock.now += TIMEOUT
    assert caller.outbox.seconds_left() == 0.0
    caller.lose(None)
    assert isinstance(placed.result, DeadlineExceeded)


def test_who_waits_as_the_server_says_is_not_given_up() -> None:
    caller = Caller()
    caller.place()
    caller.send()
    wait = TIMEOUT - 1
    caller.answer(Refusal(code=grpc.StatusCode.UNAVAILABLE, retry_after=wait))
    assert caller.outbox.seconds_left() == TIMEOUT + wait


def test_it_pauses_longer_with_each_failure_until_there_is_a_result() -> None:
    caller = Caller()
    caller.place()
    pauses = []
    for _ in range(4):
        caller.lose()
        pauses.append(caller.outbox.backoff)
        caller.open()
    assert pauses == [0.1, 0.2, 0.4, 0.8]
    caller.answer_all()
    caller.lose()
    assert caller.outbox.backoff == 0.1


def test_it_waits_as_long_as_a_server_without_room_for_it_says() -> None:
    caller = Caller()
    status = Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED, message="no", retry_after=5.0)
    caller.lose(TooManyStreams(status))
    assert caller.outbox.backoff == 5.1


def test_who_begins_is_told_after_five_attempts() -> None:
    outbox: Outbox[Placed] = Outbox(timeout=TIMEOUT, clock=Clock())
    outbox.begin()
    for _ in range(ATTEMPTS - 1):
        outbox.lost(GONE)
        assert not outbox.ended
    outbox.lost(GONE)
    assert outbox.error is GONE
    with pytest.raises(RuntimeError, match="once"):
        outbox.begin()


BROKEN = {
    "no start": [api.PlaceOrdersResponse()],
    "no order": [started(), api.PlaceOrdersResponse(results=[api.PlaceOrdersResult(index=7)])],
    "no outcome": [started(), api.PlaceOrdersResponse(results=[api.PlaceOrdersResult(index=0)])],
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_the_contract_forbids_ends_it(name: str) -> None:
    caller = Caller()
    placed = caller.place()
    caller.lose()
    caller.outbox.opened()
    for response in BROKEN[name]:
        caller.put(caller.outbox.received(response))
        caller.send()
    assert isinstance(placed.result, ContractBroken)


def test_a_server_cannot_make_it_keep_any_number_of_orders() -> None:
    caller = Caller(window=2**31 - 1)
    for _ in range(10_000):
        caller.place()
    assert caller.outbox.is_full


def test_a_future_that_nobody_waits_for_is_left_alone() -> None:
    caller = Caller()
    placed = caller.place()
    placed.is_cancelled = True
    caller.answer_all()
    assert (placed.results, caller.server.accepted) == ([], ["r0"])


def test_nothing_is_placed_before_it_began_or_after_it_was_left() -> None:
    outbox: Outbox[Placed] = Outbox(timeout=TIMEOUT, clock=Clock())
    caller = Caller()
    caller.outbox.close()
    for each in (outbox, caller.outbox):
        with pytest.raises(RuntimeError, match="inside"):
            each.add(place_order(customer_id="ada", lines={"tea": 1}), Placed())


def test_a_call_that_ends_after_all_results_is_the_end_once_the_block_is_left() -> None:
    caller = Caller()
    caller.place()
    caller.answer_all()
    caller.outbox.close()
    assert caller.outbox.has_sent_all
    caller.lose(None)
    assert (caller.outbox.ended, caller.outbox.error) == (True, None)


def test_an_idle_call_that_is_lost_is_opened_again_when_there_is_an_order() -> None:
    caller = Caller()
    caller.lose()
    assert not caller.outbox.has_work
    caller.place()
    assert caller.outbox.has_work
