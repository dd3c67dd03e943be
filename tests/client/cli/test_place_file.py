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
FULL = Refusal(code=grpc.StatusCode.UNAVAILABLE, reason="QUEUE_FULL", retry_after=2.5)
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


def test_lines_whose_answer_was_lost_are_in_doubt(server: FakeServer, orders: Path) -> None:
    server.servicer.endings.append(FULL)
    result = run(server, "place", "--file", str(orders), "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    found = json.loads(result.stderr)
    assert found["reason"] == "QUEUE_FULL"
    assert (found["placed"], found["last_line_placed"]) == (0, 0)
    assert found["lines_in_doubt"] == [1, 1000]
    server.servicer.endings.append(FULL)
    assert "lines 1 to 1000 are in doubt" in run(server, "place", "--file", str(orders)).stderr


def test_ctrl_c_tells_how_many_orders_of_a_file_were_placed(
    server: FakeServer, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "place_batch", Mock(side_effect=KeyboardInterrupt))
    result = run(server, "place", "--file", str(orders))
    assert result.exit_code == 130
    assert "interrupted\n0 orders placed; lines 1 to 1000 are in doubt" in result.stderr
