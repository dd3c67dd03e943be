"""`orderintake place --file`, and how far it came."""

import json
import subprocess
from pathlib import Path
from unittest.mock import Mock

import grpc
import pytest

from client.cli.command import lines_of, program, run
from client.fake_server import FakeServer, Refusal
from orderintake import Client

INVALID = Refusal(
    code=grpc.StatusCode.INVALID_ARGUMENT,
    reason="INVALID_ORDER",
    violations={"requests[1].customer_id": "is required", "other": "is odd"},
)
FULL = Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="QUEUE_FULL", retry_after=0.01)
QUOTA = Refusal(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="CUSTOMER_QUOTA", retry_after=0.01)
TOO_MANY = Refusal(
    code=grpc.StatusCode.INVALID_ARGUMENT,
    reason="INVALID_ORDER",
    violations={"requests": "are more than may wait"},
)
TOO_LARGE = Refusal(code=grpc.StatusCode.RESOURCE_EXHAUSTED)
NOT_ALLOWED = Refusal(code=grpc.StatusCode.PERMISSION_DENIED)
LOST = [
    Refusal(code=grpc.StatusCode.UNAVAILABLE),
    Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="STORAGE_UNAVAILABLE"),
    Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="DRAINING"),
    Refusal(code=grpc.StatusCode.CANCELLED),
    Refusal(code=grpc.StatusCode.INTERNAL, reason="INTERNAL"),
    Refusal(code=grpc.StatusCode.DEADLINE_EXCEEDED),
]
ORDER = {"customer_id": "ada", "request_id": "r1", "lines": [{"sku": "tea", "quantity": 2}]}


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """A file of 1001 orders; the second has been placed before."""
    path = tmp_path / "orders.jsonl"
    lines = [json.dumps(ORDER | {"request_id": f"r{number}"}) for number in range(1001)]
    lines[1] = json.dumps(ORDER | {"request_id": "known"})
    path.write_text("\n".join(lines))
    return path


def test_place_places_a_file_in_batches(server: FakeServer, orders: Path) -> None:
    result = run(server, "place", "--file", str(orders))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "1001 orders placed (1 of them had been placed before), up to line 1001\n"
    )
    assert [len(batch.requests) for batch in server.servicer.requests] == [1000, 1]


def test_place_shows_each_receipt_of_a_file_as_json(server: FakeServer, orders: Path) -> None:
    result = run(server, "place", "--file", str(orders), "--json")
    assert len(lines_of(result.stdout)) == 1001


def test_place_reads_standard_input(server: FakeServer) -> None:
    with program(server, "place", "--file", "-", stdin=subprocess.PIPE) as placing:
        told, _ = placing.communicate(json.dumps(ORDER), timeout=30)
    assert (placing.returncode, told) == (0, "1 order placed, up to line 1\n")


def test_a_bad_line_is_named_after_what_was_placed_before_it(
    server: FakeServer, orders: Path
) -> None:
    with orders.open("a") as file:
        file.write("\nnonsense\n")
    result = run(server, "place", "--file", str(orders))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "line 1002: not a JSON object" in result.stderr
    assert "1000 orders placed" in result.stderr
    assert "up to line 1000\n" in result.stderr
    assert len(server.servicer.requests) == 1


def test_bad_fields_of_a_batch_are_told_by_their_lines(server: FakeServer, orders: Path) -> None:
    orders.write_text(f"\n{json.dumps(ORDER)}\n\n{json.dumps(ORDER)}\n")
    server.servicer.endings.append(INVALID)
    result = run(server, "place", "--file", str(orders))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "INVALID_ORDER",
        "  line 4: customer_id: is required",
        "  other: is odd",
        "0 orders placed",
    ]


@pytest.mark.parametrize("lost", LOST, ids=[lost.reason or lost.code.name for lost in LOST])
def test_lines_whose_answer_was_lost_are_in_doubt(
    server: FakeServer, orders: Path, lost: Refusal
) -> None:
    server.servicer.endings.append(lost)
    result = run(server, "place", "--file", str(orders), "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    found = json.loads(result.stderr)
    assert (found["code"], found["reason"]) == (lost.code.name, lost.reason)
    assert (found["placed"], found["last_line_placed"]) == (0, 0)
    assert found["lines_in_doubt"] == [1, 1000]
    server.servicer.endings.append(lost)
    assert "lines 1 to 1000 are in doubt" in run(server, "place", "--file", str(orders)).stderr


def test_ctrl_c_tells_how_many_orders_of_a_file_were_placed(
    server: FakeServer, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "place_batch", Mock(side_effect=KeyboardInterrupt))
    result = run(server, "place", "--file", str(orders))
    assert result.exit_code == 130
    assert "interrupted\n0 orders placed; lines 1 to 1000 are in doubt" in result.stderr


def sizes(server: FakeServer) -> list[int]:
    return [len(batch.requests) for batch in server.servicer.requests]


@pytest.mark.parametrize("refusal", [TOO_MANY, TOO_LARGE, FULL, QUOTA], ids=str)
def test_what_is_refused_for_its_number_is_placed_in_smaller_pieces_in_order(
    server: FakeServer, orders: Path, refusal: Refusal
) -> None:
    server.servicer.endings += [refusal] * 2
    result = run(server, "place", "--file", str(orders))
    assert result.exit_code == 0
    assert result.stdout.startswith("1001 orders placed")
    assert sizes(server) == [1000, 500, 250, 500, 250, 1]
    ids = [each.request_id for batch in server.servicer.requests[2:] for each in batch.requests]
    assert ids == [f"r{number}" if number != 1 else "known" for number in range(1001)]


@pytest.mark.parametrize("refusal", [FULL, QUOTA], ids=["queue", "customer"])
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_waiting_for_room_is_told_once(
    server: FakeServer, orders: Path, refusal: Refusal, form: tuple[str, ...]
) -> None:
    server.servicer.endings += [refusal] * 12
    told = run(server, "place", "--file", str(orders), *form).stderr
    assert len(told.splitlines()) == 1
    assert f"{refusal.reason}: no; waiting for room" in told
    assert "doubt" not in told


def test_it_gives_up_when_there_is_no_room_for_a_single_order(
    server: FakeServer, orders: Path
) -> None:
    server.servicer.endings += [FULL] * 30
    result = run(server, "place", "--file", str(orders))
    assert result.exit_code == 1
    assert result.stderr.endswith("QUEUE_FULL: no\n  try again in 0.0 s\n0 orders placed\n")
    assert sizes(server)[:11] == [1000, 500, 250, 125, 62, 31, 15, 7, 3, 1, 1]
    assert len(server.servicer.requests) == 20


def test_a_single_order_that_is_refused_is_told_by_its_line(
    server: FakeServer, orders: Path
) -> None:
    server.servicer.endings += [TOO_MANY] * 30
    result = run(server, "place", "--file", str(orders))
    assert (result.exit_code, result.stderr.splitlines()) == (
        1,
        ["INVALID_ORDER", "  line 1: requests: are more than may wait", "0 orders placed"],
    )


@pytest.mark.parametrize("refusal", [INVALID, NOT_ALLOWED], ids=["fields", "rights"])
def test_no_line_is_in_doubt_after_a_definite_refusal(
    server: FakeServer, orders: Path, refusal: Refusal
) -> None:
    server.servicer.endings.append(refusal)
    result = run(server, "place", "--file", str(orders), "--json")
    assert result.exit_code == 1
    assert "lines_in_doubt" not in json.loads(result.stderr)
    assert len(server.servicer.requests) == 1


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(("target", "code"), [("/dev/full", 74), ("", 141)], ids=["full", "pipe"])
def test_output_that_cannot_be_written_leaves_the_tally_on_standard_error(
    server: FakeServer, orders: Path, target: str, code: int, form: tuple[str, ...]
) -> None:
    with program(server, "place", "--file", str(orders), *form, stdout=target) as placing:
        _, told = placing.communicate(timeout=30)
    assert placing.returncode == code
    assert " placed" in told or '"placed": 1' in told
    assert "Traceback" not in told
