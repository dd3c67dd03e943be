"""The Node worker of docs/node: each order is done once across kills of it and of the server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from typing import Any

import pytest

from orderintake import Client, Completion, State
from support.callers import entry, key_of, write_access
from support.node import NodeProgram, installed, node_program
from support.process import server_process
from support.program import free_port

SERVER = ("--workers", "0", "--lease", "1", "--worker-lease", "2")
LONG = 30.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("node"))


@contextmanager
def working(folder: Path, address: str, **variables: str) -> Iterator[NodeProgram]:
    variables = {"SLOTS": "2"} | variables
    with node_program(folder, "work.mjs", address, "node_handler.mjs", **variables) as worker:
        yield worker


def place(client: Client, count: int = 1, **labels: str) -> list[str]:
    """Place orders; give their ids."""
    receipts = [
        client.place(customer_id="ada", lines={"tea": 1}, labels=labels) for _ in range(count)
    ]
    return [receipt.order.order_id for receipt in receipts]


def completed(client: Client, count: int) -> list[Completion]:
    """Wait until so many orders have ended."""
    with client.completions() as completions:
        return [next(completions) for _ in range(count)]


def begun(worker: NodeProgram, count: int) -> list[Any]:
    """Give the next attempts that it begins."""
    found: list[Any] = []
    while len(found) < count:
        told = worker.read()
        found += [told] if told["what"] == "begun" else []
    return found


@pytest.mark.seconds
@pytest.mark.timeout(110)
def test_w3_w6_w8_a_node_worker_does_each_order_once_across_kills_of_it_and_of_the_server(
    folder: Path, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    arguments = ("--listen", address, *SERVER)
    with server_process(tmp_path, *arguments) as server, working(folder, address) as worker:
        with Client(address) as client:
            held = place(client, hold="1")
            early = place(client, 10)
            begun(worker, 11)
            assert len(completed(client, 10)) == 10
            late = place(client, seconds="0.5")
            begun(worker, 1)
        server.kill()
        with server_process(tmp_path, *arguments), Client(address, timeout=LONG) as client:
            late += place(client, 5)
            assert len(completed(client, 16)) == 16
            worker.process.kill()
            with working(folder, address) as second:
                whole_log = completed(client, 17)
                second.process.send_signal(SIGTERM)
                assert second.ends()[0] == 0
    ids = [completion.order.order_id for completion in whole_log]
    assert sorted(ids) == sorted(held + early + late)
    assert {completion.order.state for completion in whole_log} == {State.STATE_SUCCEEDED}
    attempts = [completion.order.attempt_count for completion in whole_log]
    assert attempts == [1] * 16 + [2]
    assert ids[-1:] == held


@pytest.mark.seconds
@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_w7_a_node_worker_that_stops_gives_back_what_it_did_not_finish(
    folder: Path, tmp_path: Path, number: Signals
) -> None:
    with server_process(tmp_path, *SERVER) as server, Client(server.address) as client:
        held = place(client, hold="1")
        with working(folder, server.address, DRAIN_SECONDS="0.2") as worker:
            begun(worker, 1)
            worker.process.send_signal(number)
            code, _ = worker.ends()
        order = client.get(held[0]).order
        place(client, 1, seconds="0")
    assert code == 0
    assert (order.state, order.attempt_count) == (State.STATE_QUEUED, 0)


@pytest.mark.seconds
def test_w2_w9_w10_a_node_worker_says_how_an_attempt_ended(folder: Path, tmp_path: Path) -> None:
    arguments = (*SERVER, "--attempt-timeout", "0.5", "--max-attempts", "1")
    with (
        server_process(tmp_path, *arguments) as server,
        Client(server.address) as client,
        working(folder, server.address) as worker,
    ):
        place(client, 1)
        place(client, 1, code="SOLD_OUT")
        place(client, 1, hold="1")
        ended = completed(client, 3)
        (cancelled,) = place(client, 1, hold="1")
        begun(worker, 4)
        client.cancel(cancelled)
        last = completed(client, 4)[-1]
    assert [each.failure.code for each in ended] == ["", "SOLD_OUT", "ATTEMPT_TIMEOUT"]
    assert ended[0].result.type_url.endswith("StringValue")
    assert last.order.state == State.STATE_CANCELLED


@pytest.mark.seconds
def test_a_node_worker_shows_its_key_and_ends_where_it_may_not_work(
    folder: Path, tmp_path: Path
) -> None:
    entries = [entry("shop", "customer", customer="*"), entry("hands", "worker")]
    access = write_access(tmp_path / "access.toml", entries)
    with server_process(tmp_path, *SERVER, "--access", str(access)) as server:
        with Client(server.address, api_key=key_of("shop")) as client:
            place(client, 1)
        own = {"ORDERINTAKE_API_KEY": key_of("hands")}
        with working(folder, server.address, **own) as worker:
            begun(worker, 1)
        other = {"ORDERINTAKE_API_KEY": key_of("shop")}
        with working(folder, server.address, **other) as worker:
            code, errors = worker.ends()
    assert code == 1
    assert "PERMISSION_DENIED" in errors
