"""A worker by hand, with `buf curl`: lease, keep, outcome; over kills, each order ends once."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from orderintake import Client, State
from support.http_port import http_port
from support.process import ServerProcess, server_process
from support.program import free_port

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).parent / "buf"
PAGE = ROOT / "docs" / "workers-by-hand.md"
WORK = "orderintake.v1.OrderWorkService"
SERVER = ("--workers", "0", "--lease", "1", "--worker-lease", "2")
SECONDS = 30


class Hand:
    """One life of a worker that is typed."""

    def __init__(self, address: str) -> None:
        """Call the server that is there."""
        self.name = uuid.uuid4().hex
        self._command = (
            *(str(BUF), "curl", "--schema", "protos", "--protocol", "grpc"),
            "--http2-prior-knowledge",
        )
        self._url = f"http://{address}/{WORK}"

    def call(self, method: str, **request: object) -> Any:  # noqa: ANN401 - JSON
        """Make a call that is answered."""
        data = json.dumps({"workerId": self.name} | request)
        end = subprocess.run(
            [*self._command, "--data", data, f"{self._url}/{method}"],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        assert end.returncode == 0, end.stderr
        return json.loads(end.stdout)

    def lease(self, call: int) -> Any:  # noqa: ANN401 - JSON
        """Lease an order, as soon as there is one."""
        while not (orders := self.call("LeaseOrders", call=call, slots=1).get("orders")):
            pass
        return orders

    def says(self, call: int, lease: str) -> Any:  # noqa: ANN401 - JSON
        """Say that an attempt succeeded; give what is answered."""
        outcome = {"lease": lease, "succeeded": {}}
        (answer,) = self.call("LeaseOrders", call=call, outcomes=[outcome])["outcomes"]
        return answer


def place(client: Client) -> str:
    return client.place(customer_id="ada", lines={"tea": 1}).order.order_id


RECORDED = {"result": "OUTCOME_RESULT_RECORDED", "state": "STATE_SUCCEEDED"}
LOST = {"result": "OUTCOME_RESULT_LEASE_LOST"}


@pytest.mark.seconds
def test_w2_w3_w8_a_lease_kept_by_hand_survives_the_servers_kill_and_ends_once(
    tmp_path: Path,
) -> None:
    address = f"127.0.0.1:{free_port()}"
    arguments = ("--listen", address, *SERVER)
    hand = Hand(address)
    with server_process(tmp_path, *arguments) as server:
        with Client(address) as client:
            order_id = place(client)
        (leased,) = hand.lease(1)
        server.kill()
    with server_process(tmp_path, *arguments) as server, Client(address) as client:
        assert hand.lease(1) == [leased]
        held = {"held": [leased["lease"]], "lastCall": 1}
        assert "lost" not in hand.call("KeepLeases", inventory=held)
        assert hand.says(2, leased["lease"]) == RECORDED
        server.kill()
    with server_process(tmp_path, *arguments), Client(address) as client:
        assert hand.says(2, leased["lease"]) == RECORDED
        assert hand.call("EndWorker") == {}
        (completion,) = client.list_completions()
    assert completion.order.order_id == order_id
    assert completion.order.attempt_count == 1


@pytest.mark.seconds
def test_w6_who_falls_silent_loses_its_lease_once_and_is_told_so(tmp_path: Path) -> None:
    with server_process(tmp_path, *SERVER) as server, Client(server.address) as client:
        place(client)
        silent, other = Hand(server.address), Hand(server.address)
        (leased,) = silent.lease(1)
        (again,) = other.lease(1)
        assert again["order"]["attemptCount"] == 2
        assert again["order"]["orderId"] == leased["order"]["orderId"]
        assert silent.says(2, leased["lease"]) == LOST
        assert other.says(2, again["lease"]) == RECORDED
        (completion,) = client.list_completions()
    assert completion.order.state == State.STATE_SUCCEEDED
    assert completion.order.attempt_count == 2


@pytest.mark.seconds
def test_the_lines_of_the_page_run_as_they_stand_there(tmp_path: Path) -> None:
    lines = PAGE.read_text().partition("```sh\n")[2].partition("```")[0]
    with server_process(tmp_path, *SERVER, "--http", "127.0.0.1:0") as server:
        with Client(server.address) as client:
            place(client)
        end = run_lines(lines, server)
        with Client(server.address) as client:
            (completion,) = client.list_completions()
    assert end.returncode == 0, end.stderr
    assert end.stdout.count("OUTCOME_RESULT_RECORDED") == 2
    assert completion.order.state == State.STATE_SUCCEEDED


def run_lines(lines: str, server: ServerProcess) -> subprocess.CompletedProcess[str]:
    """Run a script of the page against a server, where `buf` is found."""
    script = lines.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{http_port(server)}")
    path = os.pathsep.join([str(BUF.parent), os.environ["PATH"]])
    return subprocess.run(
        [str(shutil.which("bash")), "-ec", script],
        cwd=ROOT, env=os.environ | {"PATH": path},
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
