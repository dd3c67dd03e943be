"""A caller's times are never ambiguous."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from orderintake import Client
from orderintake.requests import place_order, stream_completions
from orderintake.times import timestamp

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
PARIS = timezone(timedelta(hours=1))


class Nowhere(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return None

    def dst(self, _: datetime | None) -> timedelta | None:
        return None

    def tzname(self, _: datetime | None) -> str | None:
        return None


def test_a_datetime_with_a_zone_is_a_time() -> None:
    time = NOW.replace(hour=13, microsecond=5, tzinfo=PARIS)
    found = timestamp("not_before", time, now=NOW)
    assert found
    assert found.ToDatetime(UTC) == NOW.replace(microsecond=5)


def test_a_timedelta_counts_from_now() -> None:
    found = timestamp("not_before", timedelta(minutes=10), now=NOW)
    assert found == Timestamp(seconds=int(NOW.timestamp()) + 600)
    assert timestamp("not_before", None, now=NOW) is None


@pytest.mark.parametrize(
    "time", [NOW.replace(tzinfo=None), NOW.replace(tzinfo=Nowhere())], ids=["naive", "nowhere"]
)
@pytest.mark.parametrize("field", ["not_before", "expire_time"])
def test_a_datetime_without_a_zone_is_a_value_error_that_names_the_field(
    field: str, time: datetime
) -> None:
    with pytest.raises(ValueError, match=f"^{field} has no time zone"):
        place_order(customer_id="ada", lines={"tea": 1}, **{field: time})  # type: ignore[arg-type]


def test_what_is_no_time_at_all_is_an_error_that_names_the_field() -> None:
    with pytest.raises(ValueError, match=r"^expire_time is beyond"):
        timestamp("expire_time", timedelta.max, now=NOW)
    with pytest.raises(TypeError, match=r"^not_before is neither"):
        timestamp("not_before", "noon", now=NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "time",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-10))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=10))),
    ],
    ids=["after 9999", "before 1"],
)
def test_a_time_beyond_the_years_of_utc_is_a_value_error_that_names_the_field(
    time: datetime,
) -> None:
    with pytest.raises(ValueError, match=r"^expire_time is beyond the years 1 to 9999 in UTC"):
        place_order(customer_id="ada", lines={"tea": 1}, expire_time=time)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, 1e300])
def test_a_number_that_is_no_length_of_time_is_a_value_error_that_names_it(value: float) -> None:
    with pytest.raises(ValueError, match=r"^heartbeat_interval must be"):
        stream_completions(heartbeat_interval=value)
    with pytest.raises(ValueError, match=r"^timeout must be"):
        Client("127.0.0.1:1", timeout=value)


def test_what_is_no_number_is_no_length_of_time() -> None:
    with pytest.raises(TypeError, match=r"^timeout must be a number of seconds, not str"):
        Client("127.0.0.1:1", timeout="5")  # type: ignore[arg-type]


def test_an_order_has_both_its_times_from_the_same_now() -> None:
    hour = timedelta(hours=1)
    request = place_order(customer_id="ada", lines={}, not_before=hour, expire_time=2 * hour)
    apart = request.expire_time.ToDatetime() - request.not_before.ToDatetime()
    assert apart == hour
    assert not place_order(customer_id="ada", lines={}).HasField("not_before")
