"""Times are read as people type them, and are never ambiguous."""

from datetime import UTC, datetime, timedelta

import pytest

from orderintake.cli.times import from_text

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2030-01-31T12:00:00Z", NOW),
        ("2030-01-31T13:00:00+01:00", NOW),
        ("2030-01-31 12:00:00.000001Z", NOW.replace(microsecond=1)),
        ("+10m", timedelta(minutes=10)),
        ("+1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("+0s", timedelta()),
    ],
)
def test_a_time_is_read_as_one_types_it(text: str, time: datetime | timedelta) -> None:
    assert from_text(text) == time


@pytest.mark.parametrize(
    "text",
    [
        *("", "+", "10m", "+10", "+m", "+1m1h", "-5m", "+٣m", f"+{'9' * 30}d"),
        *("noon", "2030-01-31", "2030-01-31T12:00:00", "2030-13-01T00:00:00Z"),
    ],
)
def test_what_is_no_time_is_told_how_it_should_look(text: str) -> None:
    with pytest.raises(ValueError, match=r"is neither like 2030-01-31T12:00:00Z nor like \+1h30m"):
        from_text(text)
