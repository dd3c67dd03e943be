"""`orderintake place` with times, `cancel`, and `list`."""

import json
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf import struct_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from client.cli.command import lines_of, run
from client.fake_server import FakeServer, Refusal
from orderintake import REGULAR, Completion, Failure, GetOrderResponse, Order, State

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


class Answer:
    """No refusal."""

    def end(self, context: grpc.ServicerContext) -> None:
        pass


NOT_FOUND = Refusal(code=grpc.StatusCode.NOT_FOUND, reason="ORDER_NOT_FOUND")


def order(number: int, state: State.ValueType = State.STATE_QUEUED, attempts: int = 0) -> Order:
    return Order(
        order_id=f"0123abcd-{number:012x}",
        customer_id="ada",
        accept_sequence=number,
        accept_time=Timestamp(seconds=86_400 + number, nanos=7),
        state=state,
        attempt_count=attempts,
    )


def failed(number: int) -> GetOrderResponse:
    ended = order(number, State.STATE_FAILED, attempts=3)
    failure = Failure(code="OVEN", message="cold\x1b[2J")
    return GetOrderResponse(order=ended, completion=Completion(order=ended, failure=failure))


def test_list_shows_time_attempts_and_failure(server: FakeServer) -> None:
    server.servicer.listed = [order(1), failed(2).order]
    server.servicer.known[failed(2).order.order_id] = failed(2)
    first, second = run(server, "list").stdout.splitlines()
    assert first == "1970-01-02T00:00:01Z  regular  queued      0123abcd-000000000001  ada  "
    assert second.startswith("1970-01-02T00:00:02Z  regular  failed ")
    assert second.endswith("  3 attempts  OVEN: cold?[2J")


def test_list_shows_the_newest_first_when_asked(server: FakeServer) -> None:
    found = lines_of(run(server, "list", "--newest", "--json").stdout)
    assert [each["order_id"][-1] for each in found] == ["5", "4", "3", "2", "1"]
    found = lines_of(run(server, "list", "--newest", "--limit", "2", "--json").stdout)
    assert [each["order_id"][-1] for each in found] == ["5", "4"]
    asked = server.servicer.requests[-1]
    assert (asked.newest_first, asked.page_size, asked.page_token) == (True, 2, "")  # no more read


def test_list_as_json_asks_for_nothing_more(server: FakeServer) -> None:
    server.servicer.listed = [failed(2).order]
    (found,) = lines_of(run(server, "list", "--json").stdout)
    assert (found["attempt_count"], found["state"]) == (3, "STATE_FAILED")
    assert len(server.servicer.requests) == 1


def test_an_order_that_is_forgotten_while_it_is_listed_ends_nothing(server: FakeServer) -> None:
    server.servicer.listed = [failed(2).order, failed(3).order]
    server.servicer.endings += [Answer(), NOT_FOUND]
    result = run(server, "list")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 2)


def test_get_finds_an_order_by_its_number(server: FakeServer) -> None:
    server.servicer.known["10003"] = GetOrderResponse(order=order(10_003))
    result = run(server, "get", "--number", "10003")
    assert result.exit_code == 0
    assert "(number 10003)" in result.stdout
    assert json.loads(run(server, "get", "--number", "10003", "--json").stdout)["order"]
    assert {request.order_id for request in server.servicer.requests} == {""}


def test_get_says_that_there_is_no_order_of_a_number(server: FakeServer) -> None:
    server.servicer.endings += [NOT_FOUND]
    result = run(server, "get", "--number", "9")
    assert result.exit_code == 1
    assert result.stderr.startswith("ORDER_NOT_FOUND: ")


@pytest.mark.parametrize(
    "arguments", [(), ("order-1", "--number", "1"), ("--number", "0"), ("--number", str(2**63))]
)
def test_get_takes_one_name_of_an_order(server: FakeServer, arguments: tuple[str, ...]) -> None:
    assert run(server, "get", *arguments).exit_code == 2
    assert server.servicer.requests == []


def test_get_shows_payload_and_result(server: FakeServer) -> None:
    made = struct_pb2.Struct()
    made.update({"layers": 3})
    ended = order(1, State.STATE_SUCCEEDED)
    ended.payload.Pack(Timestamp(seconds=0))
    known = GetOrderResponse(order=ended, completion=Completion(order=ended))
    known.completion.result.Pack(made)
    server.servicer.known["o1"] = known
    words = run(server, "get", "o1").stdout.split()
    assert {"payload", '"1970-01-01T00:00:00Z"}', "result", '{"layers":', "3.0}}"} <= set(words)
