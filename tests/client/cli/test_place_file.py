"""`orderintake place --file`, and how far it came."""

import json
import re
import subprocess
from pathlib import Path

import grpc
import pytest

from client.cli.command import lines_of, program, run
from client.fake_placing import Requests, Responses, started
from client.fake_server import Context, FakeServer, Refusal, Silence
from orderintake import PlaceOrderRequest, Placing
from orderintake.v1 import order_intake_service_pb2 as api

INVALID = Refusal(
    code=grpc.StatusCode.INVALID_ARGUMENT,
    reason="INVALID_ORDER",
    violations={"customer_id": "is required"},
)
REUSED = Refusal(code=grpc.StatusCode.ALREADY_EXISTS, reason="REQUEST_ID_REUSED")
FULL = Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="QUEUE_FULL", retry_after=0.001)
QUOTA = Refusal(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="CUSTOMER_QUOTA", retry_after=0.001)
AWAY = Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="STORAGE_UNAVAILABLE", retry_after=0.001)
ORDER = {"customer_id": "ada", "lines": [{"sku": "tea", "quantity": 2}]}
IDS = [f"r{number}" for number in range(1001)]


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """A file of 1001 orders; the second has been placed before."""
    path = tmp_path / "orders.jsonl"
    ids = ["r0", "known", *IDS[2:]]
    path.write_text("\n".join(json.dumps(ORDER | {"request_id": each}) for each in ids))
    return path


def few(path: Path, count: int) -> Path:
    """A file of so many orders."""
    path.write_text("\n".join(json.dumps(ORDER | {"request_id": each}) for each in IDS[:count]))
    return path


def test_place_places_a_file_and_tells_how_fast(server: FakeServer, orders: Path) -> None:
    result = run(server, "place", "--file", str(orders))
    assert (result.exit_code, result.stderr) == (0, "")
    placed, speed = result.stdout.splitlines()
    assert placed == "1001 orders placed (1 of them had been placed before), up to line 1001"
    assert re.fullmatch(r"[\d,]+ orders a second, for \d+\.\d s", speed)
    assert server.servicer.accepted == ["r0", "known", *IDS[2:]]


def test_place_shows_each_receipt_of_a_file_as_json_in_its_order(
    server: FakeServer, orders: Path
) -> None:
    result = run(server, "place", "--file", str(orders), "--json")
    found = [each["order"]["order_id"] for each in lines_of(result.stdout)]
    assert found == [f"order of {each}" for each in ["r0", "known", *IDS[2:]]]


def test_place_reads_standard_input(server: FakeServer) -> None:
    with program(server, "place", "--file", "-", stdin=subprocess.PIPE) as placing:
        told, _ = placing.communicate(json.dumps(ORDER), timeout=30)
    assert placing.returncode == 0
    assert told.startswith("1 order placed, up to line 1\n")


def test_a_bad_line_is_named_after_all_before_it_were_placed(
    server: FakeServer, orders: Path
) -> None:
    with orders.open("a") as file:
        file.write("\nnonsense\n" + json.dumps(ORDER))
    result = run(server, "place", "--file", str(orders))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "line 1002: not a JSON object" in result.stderr
    assert "1001 orders placed" in result.stderr
    assert "up to line 1001\n" in result.stderr
    assert len(server.servicer.accepted) == 1001


def test_a_refused_line_is_told_with_its_bad_fields(server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_text(f"\n{json.dumps(ORDER)}\n\n{json.dumps(ORDER)}\n")
    server.servicer.refused += [None, INVALID]
    result = run(server, "place", "--file", str(path))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "INVALID_ORDER",
        "  line 4: customer_id: is required",
        "1 order placed, up to line 2",
    ]


def test_a_refused_line_stops_the_reading_and_those_on_their_way_are_told(
    server: FakeServer, tmp_path: Path
) -> None:
    server.servicer.refused += [None, REUSED, None, INVALID]
    path = few(tmp_path / "orders.jsonl", 5)
    result = run(server, "place", "--file", str(path))
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "REQUEST_ID_REUSED: line 2: no"
    found = json.loads(run(server, "place", "--file", str(path), "--json").stderr or "{}")
    assert found == {}, "the second time nothing is refused"
    assert sorted(server.servicer.accepted) == IDS[:5]


def test_every_line_that_was_refused_is_named(server: FakeServer, tmp_path: Path) -> None:
    def answer_all(requests: Requests, context: Context) -> Responses:
        """Answer all orders together, so that all of them are on their way."""
        yield started(5)
        orders: list[PlaceOrderRequest] = []
        while len(orders) < 5:
            orders += next(requests).orders
        yield server.servicer.response(api.PlaceOrdersRequest(orders=orders), 0)
        assert next(requests, None) is None

    server.servicer.calls.append(answer_all)
    server.servicer.refused += [None, REUSED, None, INVALID, None]
    result = run(server, "place", "--file", str(few(tmp_path / "orders.jsonl", 5)), "--json")
    found = json.loads(result.stderr)
    assert (found["reason"], found["line"]) == ("REQUEST_ID_REUSED", 2)
    assert (found["placed"], found["last_line_placed"]) == (3, 5)
    assert found["lines_refused"] == [2, 4]
    assert "lines_in_doubt" not in found


def test_a_line_whose_result_is_unknown_is_in_doubt(server: FakeServer, tmp_path: Path) -> None:
    server.servicer.refused += [AWAY] * 5
    path = few(tmp_path / "orders.jsonl", 1)
    result = run(server, "place", "--file", str(path), "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    found = json.loads(result.stderr.splitlines()[-1])
    assert (found["code"], found["reason"]) == ("UNAVAILABLE", "STORAGE_UNAVAILABLE")
    assert (found["placed"], found["lines_in_doubt"]) == (0, [1, 1])


def test_lines_on_a_call_that_is_lost_for_good_are_in_doubt(
    server: FakeServer, tmp_path: Path
) -> None:
    def fall_silent(requests: Requests, context: Context) -> Responses:
        yield started()
        next(requests)
        Silence().end(context)

    server.servicer.calls.append(fall_silent)
    path = few(tmp_path / "orders.jsonl", 7)
    result = run(server, "--timeout", "0.3", "place", "--file", str(path))
    assert result.exit_code == 1
    assert "0 orders placed; lines 1 to 7 are in doubt" in result.stderr


def test_a_right_that_ends_on_the_way_leaves_lines_in_doubt_and_refuses_none(
    server: FakeServer, tmp_path: Path
) -> None:
    def refuse(requests: Requests, context: Context) -> Responses:
        yield started()
        while next(requests).orders[-1].request_id != "r6":
            pass
        Refusal(code=grpc.StatusCode.PERMISSION_DENIED, reason="NOT_ALLOWED").end(context)

    server.servicer.calls.append(refuse)
    path = few(tmp_path / "orders.jsonl", 7)
    result = run(server, "place", "--file", str(path), "--json")
    assert result.exit_code == 77
    found = json.loads(result.stderr)
    assert (found["lines_in_doubt"], "lines_refused" in found) == ([1, 7], False)


def test_a_server_that_restarts_on_the_way_goes_unseen(server: FakeServer, orders: Path) -> None:
    def cut(requests: Requests, context: Context) -> Responses:
        yield started()
        server.servicer.response(next(requests), 0)
        Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="DRAINING").end(context)

    server.servicer.calls += [cut, cut]
    result = run(server, "place", "--file", str(orders))
    assert result.exit_code == 0
    assert result.stdout.startswith("1001 orders placed")
    assert server.servicer.accepted == ["r0", "known", *IDS[2:]]


def test_ctrl_c_tells_how_many_orders_of_a_file_were_placed(
    server: FakeServer, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Placing.place_message

    def interrupted(placing: Placing, order: PlaceOrderRequest) -> object:
        if order.request_id == "r3":
            raise KeyboardInterrupt
        placed = place(placing, order)
        placed.exception()
        return placed

    monkeypatch.setattr(Placing, "place_message", interrupted)
    result = run(server, "place", "--file", str(orders))
    assert result.exit_code == 130
    assert "interrupted\n3 orders placed (1 of them had been placed before), up to line 3\n" in (
        result.stderr
    )


@pytest.mark.parametrize("refusal", [FULL, QUOTA], ids=["queue", "customer"])
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_waiting_for_room_is_told_once(
    server: FakeServer, tmp_path: Path, refusal: Refusal, form: tuple[str, ...]
) -> None:
    server.servicer.refused += [refusal] * 4
    path = few(tmp_path / "orders.jsonl", 3)
    result = run(server, "place", "--file", str(path), *form)
    assert result.exit_code == 0
    assert len(result.stderr.splitlines()) == 1
    assert f"{refusal.reason}: no" in result.stderr
    assert "doubt" not in result.stderr
    assert sorted(server.servicer.accepted) == IDS[:3]


@pytest.mark.parametrize("refusal", [FULL, QUOTA], ids=["queue", "customer"])
def test_it_gives_up_when_there_is_no_room_for_a_single_order(
    server: FakeServer, tmp_path: Path, refusal: Refusal
) -> None:
    server.servicer.refused += [refusal] * 100
    result = run(server, "place", "--file", str(few(tmp_path / "orders.jsonl", 1)))
    assert result.exit_code == 1
    assert result.stderr.endswith(
        f"{refusal.reason}: line 1: no\n  try again in 0.0 s\n0 orders placed\n"
    )


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(("target", "code"), [("/dev/full", 74), ("", 141)], ids=["full", "pipe"])
def test_output_that_cannot_be_written_leaves_the_tally_on_standard_error(
    server: FakeServer, orders: Path, target: str, code: int, form: tuple[str, ...]
) -> None:
    with program(server, "place", "--file", str(orders), *form, stdout=target) as placing:
        _, told = placing.communicate(timeout=30)
    assert placing.returncode == code
    assert " placed" in told or '"placed": ' in told
    assert "Traceback" not in told
