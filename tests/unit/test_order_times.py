"""P12: the times of an order at the door."""

import pytest
from google.protobuf import timestamp_pb2

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.api import requests
from orderintake_server.errors import InvalidOrder
from support.orders import order

NOW = 1_790_000_000_000_000


def _bad_fields(request: api.PlaceOrderRequest) -> list[str]:
    """Tell which fields are refused; none means that the order is taken."""
    try:
        requests.new_order(request)
    except InvalidOrder as refused:
        return [violation.field for violation in refused.violations if violation.description]
    return []


def _timed(**times: int) -> api.PlaceOrderRequest:
    """Make an order with times, in microseconds from now."""
    request = order()
    for field, microseconds in times.items():
        getattr(request, field).FromMicroseconds(NOW + microseconds)
    return request


def test_times_are_read_in_microseconds_and_are_no_part_of_what_is_stored_as_said() -> None:
    request = _timed(not_before=5_000_001, expire_time=9_000_000)
    request.not_before.nanos += 999
    read = requests.new_order(request)
    assert (read.not_before, read.expire_time) == (NOW + 5_000_001, NOW + 9_000_000)
    assert read.content == requests.new_order(order()).content
    assert read.digest != requests.new_order(order()).digest


def test_without_times_there_are_none() -> None:
    read = requests.new_order(order())
    assert (read.not_before, read.expire_time) == (0, 0)


@pytest.mark.parametrize(
    "times",
    [
        {"not_before": -1},
        {"not_before": -NOW},
        {"expire_time": 1},
        {"not_before": 1, "expire_time": 2},
        {"not_before": -2, "expire_time": 1},
        {"expire_time": -1},
    ],
    ids=str,
)
def test_p12_any_time_is_taken_for_a_replay_may_come_late(times: dict[str, int]) -> None:
    assert _bad_fields(_timed(**times)) == []


@pytest.mark.parametrize(
    "times",
    [
        {"not_before": 5, "expire_time": 5},
        {"not_before": 5, "expire_time": 4},
        {"not_before": -9, "expire_time": -9},
    ],
    ids=str,
)
def test_p12_an_order_that_could_never_start_is_refused(times: dict[str, int]) -> None:
    assert _bad_fields(_timed(**times)) == ["expire_time"]


@pytest.mark.parametrize("field", ["not_before", "expire_time"])
@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (-62_135_596_801, 0),
        (253_402_300_800, 0),
        (2**62, 0),
        (1_800_000_000, -1),
        (1_800_000_000, 10**9),
    ],
)
def test_what_is_no_time_is_refused_by_its_name(field: str, seconds: int, nanos: int) -> None:
    bad = timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
    request = order()
    getattr(request, field).CopyFrom(bad)
    assert _bad_fields(request) == [field]


def test_the_last_moment_there_is_is_taken() -> None:
    request = order()
    request.not_before.CopyFrom(timestamp_pb2.Timestamp(seconds=253_402_300_798))
    request.expire_time.CopyFrom(
        timestamp_pb2.Timestamp(seconds=253_402_300_799, nanos=999_999_999)
    )
    assert _bad_fields(request) == []


def test_bad_times_are_named_beside_what_else_is_bad() -> None:
    request = _timed(not_before=5, expire_time=5)
    request.customer_id = ""
    assert _bad_fields(request) == ["customer_id", "expire_time"]


FIRST = timestamp_pb2.Timestamp(seconds=-62_135_596_800)
MOON = timestamp_pb2.Timestamp(seconds=-14_182_940, nanos=7)
EPOCH = timestamp_pb2.Timestamp()
"""When a Timestamp begins; when somebody stood on the moon; 1970."""


@pytest.mark.parametrize("time", [FIRST, MOON, EPOCH], ids=["year 1", "1969", "1970"])
@pytest.mark.parametrize("field", ["not_before", "expire_time"])
def test_p12_a_time_at_or_before_1970_is_a_time_long_past(
    field: str, time: timestamp_pb2.Timestamp
) -> None:
    request = order()
    getattr(request, field).CopyFrom(time)
    read = requests.new_order(request)
    assert 0 < getattr(read, field) < NOW
    assert getattr(order_pb2.Order.FromString(read.content), field) == time
    assert read.digest != requests.new_order(order()).digest


def test_p12_times_long_past_are_compared_as_they_are() -> None:
    request = order()
    request.not_before.CopyFrom(EPOCH)
    request.expire_time.CopyFrom(MOON)
    assert _bad_fields(request) == ["expire_time"]
    request.not_before.CopyFrom(MOON)
    request.expire_time.CopyFrom(EPOCH)
    assert _bad_fields(request) == []
