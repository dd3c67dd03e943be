"""What the domain knows, told in the contract's messages."""

from dataclasses import replace

import pytest
from google.protobuf import any_pb2, wrappers_pb2

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.dispatch.completions import MESSAGE_BYTES, Delivery, Signal
from orderintake_server.domain import Completion, Ending, Failure, Order, Receipt, State, Tier
from orderintake_server.names import Names
from orderintake_server.rpc.codec import Codec
from orderintake_server.store.base import COMPLETION_BYTES
from support.changes import DONE, FAILED

NAMES = Names("0123abcd")
CODEC = Codec(NAMES)
SAID = order_pb2.Order(
    customer_id="ada",
    tier=order_pb2.TIER_VIP,
    lines=[order_pb2.OrderLine(sku="tea", quantity=2)],
    labels={"table": "7"},
    payload=any_pb2.Any(type_url="a/b", value=b"\x00"),
)
QUEUED = Order(
    accept_sequence=7,
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


def test_a_waiting_order_is_told_with_what_its_caller_said() -> None:
    told = CODEC.standing(QUEUED).order
    expected = order_pb2.Order(order_id=NAMES.order_id(7), state=order_pb2.STATE_QUEUED)
    expected.MergeFrom(SAID)
    expected.accept_sequence = 7
    expected.accept_time.FromMicroseconds(1_790_000_000_000_001)
    assert told == expected
    assert not told.HasField("start_time")
    assert not told.HasField("complete_time")


def test_an_order_in_process_tells_its_attempt() -> None:
    told = CODEC.standing(RUNNING)
    assert told.order.state == order_pb2.STATE_PROCESSING
    assert (told.order.attempt_count, told.order.start_sequence) == (2, 9)
    assert told.order.start_time.ToMicroseconds() == 1_790_000_001_999_999
    assert not told.order.HasField("complete_time")
    assert not told.HasField("completion")


def test_an_ended_order_is_told_with_its_completion() -> None:
    told = CODEC.standing(Completion(sequence=3, order=ENDED, ending=DONE))
    assert told.order == told.completion.order
    assert told.order.state == order_pb2.STATE_SUCCEEDED
    assert told.order.complete_time.ToMicroseconds() == 1_790_000_002_000_000
    assert told.completion.sequence == 3


@pytest.mark.parametrize("replayed", [True, False])
def test_a_receipt_tells_that_the_order_is_on_disk(*, replayed: bool) -> None:
    told = CODEC.receipt(Receipt(order=QUEUED, replayed=replayed, behind=5))
    assert told.order == CODEC.standing(QUEUED).order
    assert told.replayed == replayed
    assert told.durability == api.DURABILITY_FSYNC
    assert NAMES.sequence(told.cursor) == 5


def test_a_success_has_no_failure_and_its_result_if_there_is_one() -> None:
    packed = any_pb2.Any()
    packed.Pack(wrappers_pb2.StringValue(value="done"))
    told = CODEC.completion(
        Completion(sequence=3, order=ENDED, ending=Ending(result=packed.SerializeToString()))
    )
    assert told.result == packed
    assert not told.HasField("failure")
    assert NAMES.sequence(told.cursor) == 3
    nothing = CODEC.completion(Completion(sequence=3, order=ENDED, ending=DONE))
    assert not nothing.HasField("result")


def test_a_failure_is_told_by_code_and_message() -> None:
    failed = replace(ENDED, state=State.FAILED)
    told = CODEC.completion(Completion(sequence=3, order=failed, ending=FAILED))
    assert told.order.state == order_pb2.STATE_FAILED
    assert FAILED.failure is not None
    assert told.failure.code == FAILED.failure.code
    assert told.failure.message == FAILED.failure.message
    assert not told.HasField("result")


PAGE = [Completion(sequence=number, order=ENDED, ending=DONE) for number in (4, 5)]


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_page_tells_where_the_next_begins(*, goes_on: bool) -> None:
    told = CODEC.page(PAGE, after=3, goes_on=goes_on)
    assert [completion.sequence for completion in told.completions] == [4, 5]
    assert told.cursor == NAMES.cursor(5)
    assert told.next_page_token == (NAMES.cursor(5) if goes_on else "")


def test_an_empty_page_ends_where_it_began() -> None:
    told = CODEC.page([], after=3, goes_on=False)
    assert told == api.ListCompletionsResponse(cursor=NAMES.cursor(3))


def test_the_signals_are_the_contracts() -> None:
    contract = {(name.removeprefix("SIGNAL_"), number) for name, number in api.Signal.items()}
    assert {(signal.name, signal.value) for signal in Signal} == contract


@pytest.mark.parametrize("signal", Signal)
def test_a_delivery_tells_signal_place_head_and_time(signal: Signal) -> None:
    told = CODEC.delivery(Delivery(completions=PAGE, signal=signal, position=5, head=8))
    assert told.signal == signal.value
    assert NAMES.sequence(told.cursor) == 5
    assert told.head_sequence == 8
    assert [completion.sequence for completion in told.completions] == [4, 5]
    assert told.send_time.seconds > 0


LARGEST = Order(
    accept_sequence=2**48 - 1,
    tier=Tier.VIP,
    content=b"",
    accept_time=2**56,
    state=State.FAILED,
    attempt_count=2**31 - 1,
    start_sequence=2**48 - 1,
    start_time=2**56,
    complete_time=2**56,
)


@pytest.mark.parametrize("size", [0, 1, 100, 1_000, 10_000, 60_000])
def test_a_page_within_its_bytes_fits_in_a_message_of_256_kib(size: int) -> None:
    failure = Failure(code="RESULT_INVALID", message="é" * (size // 4))
    content = order_pb2.Order(customer_id="x" * (size // 2)).SerializeToString()
    completion = Completion(
        sequence=2**48 - 1,
        order=replace(LARGEST, content=content),
        ending=Ending(failure=failure),
    )
    counted = len(content) + len(failure.message.encode()) + COMPLETION_BYTES
    page = [completion] * min(MESSAGE_BYTES // counted, 1000)
    delivery = Delivery(completions=page, signal=Signal.UNSPECIFIED, position=2**48, head=2**48)
    assert CODEC.delivery(delivery).ByteSize() <= 256 * 1024
    assert CODEC.page(page, after=0, goes_on=True).ByteSize() <= 256 * 1024


def test_the_largest_completion_fits_in_a_message_by_itself() -> None:
    content = order_pb2.Order(customer_id="x" * 65_530).SerializeToString()
    result = any_pb2.Any(type_url="a", value=b"x" * 65_500).SerializeToString()
    completion = Completion(
        sequence=2**48, order=replace(LARGEST, content=content), ending=Ending(result=result)
    )
    assert CODEC.page([completion], after=0, goes_on=True).ByteSize() <= 256 * 1024
