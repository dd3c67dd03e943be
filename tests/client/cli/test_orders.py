"""`orderintake place` with times, `cancel`, and `list`."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from client.cli.command import lines_of, run
from client.fake_server import FakeServer
from orderintake import REGULAR, State

PLACE = ("place", "--customer", "ada", "--line", "tea")


def test_place_takes_times_and_shows_the_position(server: FakeServer) -> None:
    before = datetime.now(UTC)
    times = ("--not-before", "+10m", "--expire-time", "2100-01-31T13:00:00+01:00")
    result = run(server, *PLACE, *times)
    assert result.exit_code == 0
    assert result.stdout.endswith("  position 3\n")
    (request,) = server.servicer.requests
    ten_minutes = request.not_before.ToDatetime(UTC) - before
    assert timedelta(minutes=10) <= ten_minutes < timedelta(minutes=11)
    assert request.expire_time.ToJsonString() == "2100-01-31T12:00:00Z"


@pytest.mark.parametrize("time", ["noon", "2030-01-31T12:00:00", "+99999999999d", "+9999999d"])
@pytest.mark.parametrize("option", ["--not-before", "--expire-time"])
def test_a_time_that_is_none_is_told_with_its_option(
    server: FakeServer, option: str, time: str
) -> None:
    result = run(server, *PLACE, option, time)
    assert (result.exit_code, result.stdout) == (2, "")
    assert option in result.stderr
    assert server.servicer.requests == []


@pytest.mark.parametrize(
    ("outcome", "shown", "code"),
    [
        ("CANCELLED", "cancelled", 0),
        ("CANCEL_REQUESTED", "cancel requested", 0),
        ("TOO_LATE", "too late", 1),
    ],
)
def test_cancel_tells_what_becomes_of_the_order(
    server: FakeServer, outcome: str, shown: str, code: int
) -> None:
    result = run(server, "cancel", outcome)
    assert (result.exit_code, result.stderr) == (code, "")
    assert result.stdout == f"{shown}  VIP      queued      order-1  ada  1 x tea\n"
    as_json = run(server, "cancel", outcome, "--json")
    assert as_json.exit_code == code
    assert json.loads(as_json.stdout)["outcome"] == f"CANCEL_OUTCOME_{outcome}"


def test_list_shows_every_order(server: FakeServer) -> None:
    result = run(server, "list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 5
    assert result.stdout.startswith("VIP      queued      order-1  ada  1 x tea\n")


def test_list_shows_some_orders(server: FakeServer) -> None:
    filters = ("--customer", "ada", "--tier", "regular", "--state", "failed")
    result = run(server, "list", *filters, "--limit", "3", "--json")
    assert [each["order_id"] for each in lines_of(result.stdout)] == [
        "order-1",
        "order-2",
        "order-3",
    ]
    (request,) = server.servicer.requests
    assert (request.customer_id, request.tier, request.state, request.page_size) == (
        "ada",
        REGULAR,
        State.STATE_FAILED,
        3,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("cancel",),
        ("cancel", "\udcff"),
        ("list", "--limit", "0"),
        ("list", "--state", "sleeping"),
        ("list", "--tier", "gold"),
        ("list", "--customer", "\udcff"),
        ("place", "--file", __file__, "--not-before", "+1m"),
    ],
)
def test_a_wrong_command_exits_with_2(server: FakeServer, arguments: tuple[str, ...]) -> None:
    result = run(server, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr
    assert server.servicer.requests == []
