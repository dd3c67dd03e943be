"""The commands about many orders, and about who serves and reads."""

import json

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from client.cli.command import lines_of, run
from client.fake_server import FakeServer, Refusal
from orderintake import VIP

FULL = Refusal(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="CUSTOMER_QUOTA", message="enough")


class Nothing:
    """Lets a call be answered."""

    def end(self, context: grpc.ServicerContext) -> None:
        pass


def test_failures_are_shown_with_how_many_there_are(server: FakeServer) -> None:
    result = run(server, "failures", "--code", "SOLD_OUT", "--limit", "2")
    assert result.stdout.splitlines() == [
        "5 failed: 5 SOLD_OUT",
        (
            "1970-01-01T00:00:05Z  VIP      failed      order-5  ada  5 x tea"
            "  SOLD_OUT: no more tea  as copy-5"
        ),
        "1970-01-01T00:00:04Z  VIP      failed      order-4  ada  4 x tea  SOLD_OUT: no more tea",
    ]
    assert [request.filter.codes for request in server.servicer.requests] == [["SOLD_OUT"]] * 2


def test_failures_as_json_are_a_line_each(server: FakeServer) -> None:
    result = run(server, "failures", "--redriven", "--json")
    found = lines_of(result.stdout)
    assert [each["completion"]["sequence"] for each in found] == ["5", "4", "3", "2", "1"]
    assert (found[0]["copy_order_id"], "copy_order_id" in found[1]) == ("copy-5", False)
    assert server.servicer.requests[0].include_redriven


def test_many_are_redriven_call_after_call(server: FakeServer) -> None:
    result = run(
        server,
        *("redrive", "--code", "A", "--code", "B", "--customer", "ada", "--tier", "vip"),
        *("--label", "for=bob=x", "--since", "2026-01-01T00:00:00Z", "--until", "1h"),
        *("--at-once", "2"),
    )
    assert result.stdout == "redriven  2 orders\nredriven  2 orders\nredriven  1 order\n"
    asked = server.servicer.requests
    assert [request.page_token for request in asked] == ["", "c2", "c4"]
    assert len({request.request_id for request in asked}) == 3
    assert {request.max_orders for request in asked} == {2}
    wanted = asked[0].filter
    assert (wanted.codes, wanted.customer_id, wanted.tier) == (["A", "B"], "ada", VIP)
    assert (wanted.labels, wanted.ended_after.seconds) == ({"for": "bob=x"}, 1_767_225_600)
    before = Timestamp()
    before.GetCurrentTime()
    assert 3500 < before.seconds - wanted.ended_before.seconds < 3700
    assert not asked[0].all


def test_all_are_redriven_or_cancelled_only_when_that_is_said(server: FakeServer) -> None:
    assert run(server, "redrive", "--all").stdout.endswith("redriven  1 order\n")
    assert run(server, "cancel", "--all").stdout.endswith("cancelled  1 order\n")
    assert {request.all for request in server.servicer.requests} == {True}


def test_many_that_wait_are_cancelled(server: FakeServer) -> None:
    result = run(server, "cancel", "--tier", "vip", "--customer", "ada", "--since", "2d", "--json")
    assert [each["cancelled"] for each in lines_of(result.stdout)] == [2, 2, 1]
    wanted = server.servicer.requests[0].filter
    assert (wanted.tier, wanted.customer_id) == (VIP, "ada")
    assert wanted.HasField("accepted_after")
    assert not wanted.HasField("accepted_before")


def test_what_was_done_before_a_refusal_is_shown(server: FakeServer) -> None:
    server.servicer.endings += [Nothing(), FULL]
    result = run(server, "redrive", "--all")
    assert (result.exit_code, result.stdout) == (1, "redriven  2 orders\n")
    assert result.stderr.startswith("CUSTOMER_QUOTA: enough")


@pytest.mark.parametrize(
    "arguments",
    [
        ("redrive",),
        ("cancel",),
        ("redrive", "order-1", "--all"),
        ("cancel", "order-1", "--tier", "vip"),
        ("redrive", "--label", "nothing"),
        ("cancel", "--since", "yesterday"),
        ("failures", "--limit", "0"),
    ],
)
def test_a_command_that_could_mean_too_many_exits_with_2(
    server: FakeServer, arguments: tuple[str, ...]
) -> None:
    assert run(server, *arguments).exit_code == 2
    assert server.servicer.requests == []


def test_servers_and_their_store_are_shown(server: FakeServer) -> None:
    assert run(server, "servers").stdout.splitlines() == [
        "shop-1:7  8 workers, 3 busy, 2 subscribers  last heard 1970-01-01T00:00:03Z  answers",
        "shop-2:9  4 workers, 0 busy  last heard 1970-01-01T00:00:02Z  dead or frozen",
        "PostgreSQL 16.2, fsync, 3.0 MB, commits within 1.5 ms, 99 of 100 within 20.0 ms",
    ]
    found = json.loads(run(server, "servers", "--json").stdout)
    assert found["store"]["commit_time_p99"] == "0.020s"


def test_workers_are_shown(server: FakeServer) -> None:
    assert run(server, "workers").stdout.splitlines() == [
        "shop-1:7  in process  1 slot, 0 busy",
        (
            "kitchen:9  remote  16 slots, 1 busy  order-7 since 1970-01-01T00:00:02Z"
            "  last heard 1970-01-01T00:00:03Z  stops"
        ),
        "3 workers, 2 of them shown",
    ]
    found = json.loads(run(server, "workers", "--json").stdout)
    assert found["workers"][1]["worker_id"] == "me-7f3a"


def test_subscribers_are_shown(server: FakeServer) -> None:
    assert run(server, "subscribers").stdout.splitlines() == [
        (
            "      5 behind, at 7  ada VIP  by back-office  ipv4:192.0.2.7:51234  grpc"
            "  since 1970-01-01T00:00:01Z"
        ),
        "2 completion streams at this server, 1 of them shown",
    ]
