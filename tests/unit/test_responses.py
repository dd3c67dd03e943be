"""What the domain knows, told in the contract's messages."""

from dataclasses import replace

import pytest
from google.protobuf import any_pb2, wrappers_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.api.responses import Responses
from orderintake_server.domain import (
    Cancelled,
    CancelOutcome,
    Completion,
    Failure,
    Order,
    Receipt,
    State,
    Tier,
    WaitEstimate,
)
from orderintake_server.ids import Ids
from orderintake_server.store.base import COMPLETION_BYTES
from orderintake_server.store.rows import row_of
from orderintake_server.stream.ring import MESSAGE_BYTES
from orderintake_server.views import (
    Delivery,
    LogPage,
    OrderStatus,
    Signal,
    TierCounts,
    TierStats,
    WaitReason,
)
from support.changes import FAILURE
from support.clocks import Microseconds

IDS = Ids("0123abcd")
NOW = 1_790_000_100_000_000
RESPONSES = Responses(IDS, lambda: NOW)
SAID = order_pb2.Order(
    customer_id="ada",
    tier=order_pb2.TIER_VIP,
    lines=[order_pb2.OrderLine(sku="tea", quantity=2)],
    labels={"table": "7"},
    payload=any_pb2.Any(type_url="a/b", value=b"\x00"),
)
QUEUED = Order(
    accept_sequence=7,
    customer_id="ada",
    tier=Tier.VIP,
    content=SAID.SerializeToString(),
    accept_time=1_790_000_000_000_001,
    state=State.QUEUED,
)
RUNNING = replace(
    QUEUED,
    state=State.PROCESSING,
    attempt_count=2,
    start_sequence=9,
    start_time=1_790_000_001_999_999,
)
ENDED = replace(RUNNING, state=State.SUCCEEDED, complete_time=1_790_000_002_000_000)
SUCCESS = Completion(sequence=3, order=ENDED)


def test_a_waiting_order_is_told_with_what_its_caller_said() -> None:
    told = RESPONSES.order_status(OrderStatus(found=QUEUED)).order
    expected = order_pb2.Order(order_id=IDS.order_id(7), state=order_pb2.STATE_QUEUED)
    expected.MergeFrom(SAID)
    expected.accept_sequence = 7
    expected.accept_time.FromMicroseconds(1_790_000_000_000_001)
    assert told == expected
    assert not told.HasField("start_time")
    assert not told.HasField("complete_time")


def test_an_order_in_process_tells_its_attempt() -> None:
    told = RESPONSES.order_status(OrderStatus(found=RUNNING))
    assert told.order.state == order_pb2.STATE_PROCESSING
    assert (told.order.attempt_count, told.order.start_sequence) == (2, 9)
    assert told.order.start_time.ToMicroseconds() == 1_790_000_001_999_999
    assert not told.order.HasField("complete_time")
    assert not told.HasField("completion")


def test_an_ended_order_is_told_with_its_completion() -> None:
    told = RESPONSES.order_status(OrderStatus(found=SUCCESS))
    assert told.order == told.completion.order
    assert told.order.state == order_pb2.STATE_SUCCEEDED
    assert told.order.complete_time.ToMicroseconds() == 1_790_000_002_000_000
    assert told.completion.sequence == 3


def _receipt(receipt: Receipt) -> api.PlaceOrderResponse:
    return api.PlaceOrderResponse.FromString(RESPONSES.receipt(receipt))


@pytest.mark.parametrize("replayed", [True, False])
def test_a_receipt_tells_that_the_order_is_on_disk(*, replayed: bool) -> None:
    told = _receipt(Receipt(order=QUEUED, replayed=replayed, after=5))
    assert told.order == RESPONSES.order_status(OrderStatus(found=QUEUED)).order
    assert told.replayed == replayed
    assert told.durability == api.DURABILITY_FSYNC
    assert IDS.sequence(told.cursor) == 5


def test_a_success_has_no_failure_and_its_result_if_there_is_one() -> None:
    packed = any_pb2.Any()
    packed.Pack(wrappers_pb2.StringValue(value="done"))
    told = RESPONSES.completion(
        Completion(sequence=3, order=ENDED, result=packed.SerializeToString())
    )
    assert told.result == packed
    assert not told.HasField("failure")
    assert IDS.sequence(told.cursor) == 3
    nothing = RESPONSES.completion(SUCCESS)
    assert not nothing.HasField("result")


def test_a_failure_is_told_by_code_and_message() -> None:
    failed = replace(ENDED, state=State.FAILED)
    told = RESPONSES.completion(Completion(sequence=3, order=failed, failure=FAILURE))
    assert told.order.state == order_pb2.STATE_FAILED
    assert told.failure.code == FAILURE.code
    assert told.failure.message == FAILURE.message
    assert not told.HasField("result")


PAGE = [Completion(sequence=number, order=ENDED) for number in (4, 5)]


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_page_tells_where_the_next_begins(*, goes_on: bool) -> None:
    told = RESPONSES.page(LogPage(completions=PAGE, end=7, goes_on=goes_on))
    assert [completion.sequence for completion in told.completions] == [4, 5]
    assert told.cursor == IDS.cursor(7)  # behind what the filter left out, too
    assert told.next_page_token == (IDS.cursor(7) if goes_on else "")


def test_an_empty_page_ends_where_it_began() -> None:
    told = RESPONSES.page(LogPage(completions=[], end=3, goes_on=False))
    assert told == api.ListCompletionsResponse(cursor=IDS.cursor(3))


# The rest of an order's life


def _seconds_from_now(time: Timestamp) -> float:
    return (time.ToMicroseconds() - NOW) / 1e6


def test_the_times_a_caller_gave_and_what_an_order_copies_are_told() -> None:
    told = RESPONSES.order(
        replace(
            QUEUED,
            not_before=1_790_000_000_000_002,
            expire_time=1_790_000_000_000_003,
            redrive_of=3,
        )
    )
    assert told.not_before.ToMicroseconds() == 1_790_000_000_000_002
    assert told.expire_time.ToMicroseconds() == 1_790_000_000_000_003
    assert told.redrive_of == IDS.order_id(3)
    plain = RESPONSES.order(QUEUED)
    assert not plain.HasField("not_before")
    assert not plain.HasField("expire_time")
    assert plain.redrive_of == ""


WAIT = WaitEstimate(mean=60.0, least=30.0, most=90.0)


def test_a_receipt_tells_place_and_start_as_far_as_they_are_known() -> None:
    receipt = Receipt(order=QUEUED, replayed=False, after=5, position=12)
    told = _receipt(replace(receipt, wait=WAIT.mean))
    assert told.position == 12
    assert _seconds_from_now(told.estimated_start_time) == 60
    assert not _receipt(receipt).HasField("estimated_start_time")


def test_a_receipt_whose_place_is_not_known_has_none_instead_of_one_that_looks_known() -> None:
    receipt = Receipt(order=QUEUED, replayed=True, after=5, position=None)
    assert not _receipt(receipt).HasField("position")
    none = _receipt(replace(receipt, position=0))
    assert (none.HasField("position"), none.position) == (True, 0)


@pytest.mark.parametrize("reason", WaitReason)
def test_a_standing_tells_place_reason_and_between_when_it_starts(reason: WaitReason) -> None:
    told = RESPONSES.order_status(OrderStatus(found=QUEUED, position=12, wait=WAIT, reason=reason))
    assert (told.position, told.wait_reason) == (12, reason.value)
    starts = (told.earliest_start_time, told.estimated_start_time, told.latest_start_time)
    assert [_seconds_from_now(start) for start in starts] == [30, 60, 90]


def test_a_standing_without_wait_tells_none() -> None:
    told = RESPONSES.order_status(OrderStatus(found=QUEUED))
    assert told.wait_reason == api.WAIT_REASON_UNSPECIFIED
    assert not told.HasField("estimated_start_time")
    assert not told.HasField("earliest_start_time")
    assert not told.HasField("latest_start_time")


@pytest.mark.parametrize("outcome", CancelOutcome)
def test_a_cancel_is_answered_with_its_outcome_and_the_order(outcome: CancelOutcome) -> None:
    told = RESPONSES.cancelled(Cancelled(outcome=outcome, stands=RUNNING))
    assert told.outcome == outcome.value
    assert told.order == RESPONSES.order(RUNNING)
    assert not told.HasField("completion")


def test_a_cancel_of_what_ended_tells_its_completion() -> None:
    told = RESPONSES.cancelled(Cancelled(outcome=CancelOutcome.TOO_LATE, stands=SUCCESS))
    assert told.completion == RESPONSES.completion(SUCCESS)
    assert told.order == told.completion.order


@pytest.mark.parametrize("state", [State.CANCELLED, State.EXPIRED])
def test_what_never_ran_ends_without_start_failure_and_result(state: State) -> None:
    ended = replace(QUEUED, state=state, complete_time=1_790_000_002_000_000)
    told = RESPONSES.completion(Completion(sequence=3, order=ended))
    assert told.order.state == state.value
    assert told.order.start_sequence == 0
    assert not told.order.HasField("start_time")
    assert not told.HasField("failure")
    assert not told.HasField("result")


NEXT = IDS.page_token(9, b"all")


def test_a_page_of_orders_tells_where_to_go_on() -> None:
    told = RESPONSES.orders([QUEUED, ENDED], NEXT)
    assert list(told.orders) == [RESPONSES.order(QUEUED), RESPONSES.order(ENDED)]
    assert told.next_page_token == NEXT
    assert RESPONSES.orders([], "") == api.ListOrdersResponse()


FLOW = TierStats(
    counts=TierCounts(queued=1, scheduled=2, processing=3),
    accept_rate=4.5,
    completion_rate=5.5,
    is_paused=True,
)


def test_a_tier_is_told_by_its_counts_and_rates() -> None:
    told = RESPONSES.tier(Tier.VIP, FLOW, oldest=None)
    assert told == admin.TierStats(
        tier=order_pb2.TIER_VIP,
        queued=1,
        scheduled=2,
        processing=3,
        accept_rate=4.5,
        completion_rate=5.5,
        paused=True,
    )


@pytest.mark.parametrize(("ago", "age"), [(90, 90), (0, 0), (-90, 0)])
def test_the_age_of_the_oldest_is_never_below_nothing(ago: int, age: int) -> None:
    told = RESPONSES.tier(Tier.REGULAR, FLOW, oldest=NOW - ago * 1_000_000)
    assert told.oldest_waiting_age.ToSeconds() == age


def test_the_signals_are_the_contracts() -> None:
    contract = {(name.removeprefix("SIGNAL_"), number) for name, number in api.Signal.items()}
    assert {(signal.name, signal.value) for signal in Signal} == contract


def _told(delivery: Delivery, responses: Responses = RESPONSES) -> api.StreamCompletionsResponse:
    return api.StreamCompletionsResponse.FromString(responses.delivery(delivery))


def test_a_delivery_told_again_at_the_same_moment_is_not_made_again() -> None:
    clock = Microseconds()
    responses = Responses(IDS, clock)
    delivery = Delivery(Signal.UNSPECIFIED, 5, 8, RESPONSES.delivered(row_of(SUCCESS)))
    first = responses.delivery(delivery)
    assert responses.delivery(delivery) is first
    assert responses.delivery(delivery._replace(head=9)) is not first
    for seconds in (1, -2):
        clock.turn(seconds)
        assert _told(delivery, responses).send_time.ToMicroseconds() == clock.now


@pytest.mark.parametrize("signal", Signal)
def test_a_delivery_tells_signal_place_head_and_time(signal: Signal) -> None:
    told = _told(Delivery(signal, 5, 8, b"".join(map(RESPONSES.delivered, map(row_of, PAGE)))))
    assert told.signal == signal.value
    assert IDS.sequence(told.cursor) == 5
    assert told.head_sequence == 8
    assert [completion.sequence for completion in told.completions] == [4, 5]
    assert told.send_time.ToMicroseconds() == NOW


LARGEST = Order(
    accept_sequence=2**48 - 1,
    customer_id="",
    tier=Tier.VIP,
    content=b"",
    accept_time=2**56,
    state=State.FAILED,
    attempt_count=2**31 - 1,
    start_sequence=2**48 - 1,
    start_time=2**56,
    complete_time=2**56,
    not_before=2**56,
    expire_time=2**56,
    redrive_of=2**48 - 1,
    trace=25 * b"\xff",
)


@pytest.mark.parametrize("size", [0, 1, 100, 1_000, 10_000, 60_000])
def test_a_page_within_its_bytes_fits_in_a_message_of_256_kib(size: int) -> None:
    failure = Failure(code="\U0001f6d2" * 64, message="é" * (size // 4))
    content = order_pb2.Order(customer_id="x" * (size // 2)).SerializeToString()
    completion = Completion(
        sequence=2**48 - 1,
        order=replace(LARGEST, content=content),
        failure=failure,
    )
    texts = failure.code + failure.message
    counted = len(content) + len(texts.encode()) + COMPLETION_BYTES
    page = [completion] * min(MESSAGE_BYTES // counted, 1000)
    encoded = b"".join(map(RESPONSES.delivered, map(row_of, page)))
    delivery = Delivery(Signal.UNSPECIFIED, 2**48, 2**48, encoded)
    assert len(RESPONSES.delivery(delivery)) <= 256 * 1024
    assert (
        RESPONSES.page(LogPage(completions=page, end=2**48, goes_on=True)).ByteSize() <= 256 * 1024
    )


def test_the_largest_completion_fits_in_a_message_by_itself() -> None:
    content = order_pb2.Order(customer_id="x" * 65_530).SerializeToString()
    result = any_pb2.Any(type_url="a", value=b"x" * 65_500).SerializeToString()
    completion = Completion(sequence=2**48, order=replace(LARGEST, content=content), result=result)
    assert (
        RESPONSES.page(LogPage(completions=[completion], end=2**48, goes_on=True)).ByteSize()
        <= 256 * 1024
    )


def test_the_largest_order_with_the_largest_result_fits_in_an_answer() -> None:
    most = 64 * 1024
    content = order_pb2.Order(labels={"x": "y" * (most - 16)}).SerializeToString()
    result = any_pb2.Any(type_url="x", value=b"y" * (most - 16)).SerializeToString()
    failure = Failure(code="C" * 64, message="\U0001f600" * 1024)
    largest = Completion(sequence=2**40, order=replace(ENDED, content=content))
    for completion in (replace(largest, result=result), replace(largest, failure=failure)):
        got = RESPONSES.order_status(OrderStatus(found=completion))
        cancelled = RESPONSES.cancelled(
            Cancelled(outcome=CancelOutcome.TOO_LATE, stands=completion)
        )
        assert got.ByteSize() < 256 * 1024
        assert cancelled.ByteSize() < 256 * 1024
