"""How a server starts, and how it says why it does not."""

import asyncio
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
from google.protobuf.struct_pb2 import Struct

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake.work.watch import BLOCKED
from orderintake_server.config import Settings
from orderintake_server.store.sqlite.database import NAME
from support.in_process import completions
from support.orders import order
from support.process import run_to_end, server_process, serving_process
from support.remote_gate import remote_gate

ANYWHERE = ("--listen", "127.0.0.1:0")

ONCE = ("--max-attempts", "1")
TOLD = ("--exception-text", "true")


@pytest.mark.always
async def test_p18_a_second_server_on_the_same_data_refuses_and_names_the_first_ones_pid(
    tmp_path: Path,
) -> None:
    async with serving_process(tmp_path) as (server, stub):
        second = run_to_end("--data", str(tmp_path), *ANYWHERE)
        receipt = await stub.PlaceOrder(order())
    assert second.returncode == 1
    assert f"pid {server.pid};" in second.stderr
    assert str(tmp_path) in second.stderr
    assert receipt.order.order_id


@pytest.mark.always
async def test_p18_what_a_killed_server_had_in_process_waits_again_when_the_port_opens(
    tmp_path: Path,
) -> None:
    async with (
        remote_gate() as gate,
        serving_process(tmp_path, *gate.arguments, env=gate.env) as (server, stub),
    ):
        placed = [await stub.PlaceOrder(order()) for _ in range(10)]
        await gate.starts(8)
        server.kill()
    async with serving_process(tmp_path, "--workers", "0") as (server, stub):
        found = [
            await stub.GetOrder(api.GetOrderRequest(order_id=receipt.order.order_id))
            for receipt in placed
        ]
    assert server.events()[:2] == ["store opened", "listening"]
    assert (server.log[0]["waiting"], server.log[0]["recovered"]) == (10, 8)
    assert {stands.order.state for stands in found} == {order_pb2.STATE_QUEUED}
    assert [stands.order.attempt_count for stands in found] == [1] * 8 + [0] * 2


@pytest.mark.seconds
def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with server_process(tmp_path / "first") as server:
        second = run_to_end("--data", str(tmp_path / "second"), "--listen", server.address)
    assert second.returncode == 1
    assert f"orderintake-server: cannot listen on {server.address}" in second.stderr


@pytest.mark.parametrize("place", ["flag", "variable", "file"])
def test_a_bad_setting_is_named_wherever_it_stands(tmp_path: Path, place: str) -> None:
    """The others are in unit/test_bad_settings.py: they end a process by the same way."""
    file = tmp_path / "settings.toml"
    file.write_text('queue_limit = "many"\n')
    end = {
        "flag": lambda: run_to_end("--queue-limit=many"),
        "variable": lambda: run_to_end(env={"ORDERINTAKE_QUEUE_LIMIT": "many"}),
        "file": lambda: run_to_end("--config", str(file)),
    }[place]()
    assert end.returncode == 2
    assert end.stderr.startswith("orderintake-server: ")
    assert "queue_limit" in end.stderr
    assert "many" in end.stderr


@pytest.mark.seconds
@pytest.mark.parametrize(
    ("flags", "env", "used"),
    [
        (["--drain-timeout", "3"], {"ORDERINTAKE_DRAIN_TIMEOUT": "2"}, 3),
        ([], {"ORDERINTAKE_DRAIN_TIMEOUT": "2"}, 2),
        ([], {}, 1),
    ],
)
async def test_the_flag_wins_over_the_variable_and_that_over_the_file(
    tmp_path: Path, flags: list[str], env: dict[str, str], used: float
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("drain_timeout = 1\n")
    with server_process(tmp_path, "--config", str(file), *flags, env=env) as server:
        assert await server.stops() == 0
    assert [e["drain_timeout"] for e in server.log if e["event"] == "stopping"] == [used]


def test_the_version_is_told() -> None:
    end = run_to_end("--version")
    assert end.returncode == 0
    assert end.stdout == f"orderintake-server {version('orderintake-server')}\n"


def test_help_tells_every_setting() -> None:
    end = run_to_end("--help", env={"COLUMNS": "100"})
    said = " ".join(end.stdout.split())
    assert end.returncode == 0
    for name, setting in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in said
        assert f"[env: ORDERINTAKE_{name.upper()}]" in said
        assert setting.description
        assert setting.description in said
        assert f"(default: {_told(setting.default)})" in said


def _told(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()  # as it is typed
    if isinstance(default, tuple):
        return ", ".join(default)
    return "none" if default in ("", None) else str(default)


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("no_such_module:handle", "No module named 'no_such_module'"),
        ("support.handlers:no_such_name", "no_such_name"),
        ("support.handlers:GATE", "is not callable"),
        ("support.handlers", "must have the form package.module:callable"),
    ],
)
def test_a_handler_that_cannot_be_used_is_refused(tmp_path: Path, handler: str, said: str) -> None:
    end = run_to_end("--data", str(tmp_path), "--handler", handler, *ANYWHERE)
    assert end.returncode == 1
    assert f"orderintake-server: handler {handler!r}" in end.stderr
    assert said in end.stderr


def test_a_handler_whose_module_fails_is_refused_with_the_cause(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text("1 / 0\n")
    env = {"PYTHONPATH": str(tmp_path)}
    end = run_to_end("--data", str(tmp_path), "--handler", "failing:handle", *ANYWHERE, env=env)
    assert end.returncode == 1
    assert "ZeroDivisionError: division by zero" in end.stderr


@pytest.mark.seconds
async def test_a_handler_may_stand_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "kitchen.py").write_text("async def prepare(order): print('cooking')\n")
    with server_process(tmp_path, "--handler", "kitchen:prepare", cwd=tmp_path) as server:
        assert await server.stops() == 0


def test_data_that_is_a_file_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.touch()
    end = run_to_end("--data", str(data), *ANYWHERE)
    assert end.returncode == 1
    assert f"orderintake-server: cannot use the data directory {data}" in end.stderr


def test_data_that_cannot_be_written_is_refused() -> None:
    end = run_to_end("--data", "/proc/self", *ANYWHERE)  # not by root either
    assert end.returncode == 1
    assert "orderintake-server: cannot use the data directory /proc/self" in end.stderr


@pytest.mark.seconds
def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute("PRAGMA user_version = 99")
    end = run_to_end("--data", str(tmp_path), *ANYWHERE)
    assert end.returncode == 1
    assert "is of schema 99, newer than" in end.stderr
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)


@pytest.mark.parametrize("content", [b"no database " * 1_000, b"short"])
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / NAME).write_bytes(content)
    end = run_to_end("--data", str(tmp_path), *ANYWHERE)
    assert end.returncode == 1
    assert f"orderintake-server: cannot open the store {tmp_path / NAME}" in end.stderr
    assert (tmp_path / NAME).read_bytes() == content


async def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute("CREATE TABLE orders (id)")
    end = run_to_end("--data", str(tmp_path), *ANYWHERE)
    assert end.returncode == 1
    assert f"orderintake-server: cannot open the store {tmp_path / NAME}" in end.stderr


@pytest.mark.seconds
async def test_a_sync_handler_runs_in_a_thread_and_its_message_is_the_result(
    tmp_path: Path,
) -> None:
    arguments = ("--handler", "support.handlers:sku_result")
    async with serving_process(tmp_path, *arguments) as (_, stub):
        await stub.PlaceOrder(order("tea"))
        (found,) = await completions(stub, 1)
    result = Struct()
    assert found.result.Unpack(result)
    assert dict(result) == {"sku": "tea", "is_main_thread": False}
    assert found.order.state == order_pb2.STATE_SUCCEEDED


@pytest.mark.seconds
async def test_a_handler_that_raises_or_exits_fails_its_order_and_no_other(
    tmp_path: Path,
) -> None:
    skus = ("raise", "exit", "number", "cancel", "nothing")
    arguments = ("--handler", "support.handlers:by_sku", "--workers", "1", *ONCE, *TOLD)
    async with serving_process(tmp_path, *arguments) as (server, stub):
        for sku in skus:
            await stub.PlaceOrder(order(sku))
        found = await completions(stub, len(skus))
        assert await server.stops() == 0
    failures = [c.failure for c in found]
    raised, exited, released, cancelled, none = failures
    assert [failure.code for failure in failures] == [
        "HANDLER_ERROR",
        "HANDLER_ERROR",
        "RESULT_INVALID",
        "HANDLER_ERROR",
        "",
    ]
    assert raised.message == "LookupError: no such article"
    assert exited.message == "SystemExit: 3"
    assert "returned int; it must return a protobuf message or None" in released.message
    assert "CancelledError" in cancelled.message
    assert not none.message
    states = [order_pb2.STATE_FAILED] * 4 + [order_pb2.STATE_SUCCEEDED]
    assert [c.order.state for c in found] == states


@pytest.mark.seconds
async def test_p19_a_thread_that_never_ends_is_left_behind_and_its_order_made_again(
    tmp_path: Path,
) -> None:
    arguments = ("--handler", "support.handlers:never_ends", "--drain-timeout", "0.2")
    async with remote_gate() as gate:
        await gate.let_through(1)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            await stub.PlaceOrder(order())
            await gate.starts(1)
            assert await server.stops() == 0
    assert server.events()[-1] == "handler thread still running at exit; left running"
    async with serving_process(tmp_path) as (_, stub):
        (found,) = await completions(stub, 1)
    assert (found.order.start_sequence, found.order.attempt_count) == (2, 1)


@pytest.mark.seconds
async def test_p19_a_handler_that_swallows_its_cancellation_is_left_behind(tmp_path: Path) -> None:
    handler = "support.handlers:ignores_cancelling"
    arguments = ("--handler", handler, "--drain-timeout", "0.2")
    async with remote_gate() as gate:
        await gate.let_through(1)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            receipt = await stub.PlaceOrder(order())
            await gate.starts(1)
            assert await server.stops() == 0
    (told,) = [entry for entry in server.log if "left behind at the stop" in str(entry["event"])]
    assert (told["handler"], told["order_id"]) == (handler, receipt.order.order_id)
    assert "stopped" in server.events()
    async with serving_process(tmp_path) as (_, stub):
        (found,) = await completions(stub, 1)
    assert (found.order.start_sequence, found.order.attempt_count) == (2, 1)


@pytest.mark.seconds
async def test_a_stop_ends_a_server_whose_loop_a_handler_never_lets_go(tmp_path: Path) -> None:
    handler = "support.handlers:never_lets_go"
    arguments = ("--handler", handler, "--drain-timeout", "0.2")
    async with remote_gate() as gate:
        await gate.let_through(1)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            await stub.PlaceOrder(order())
            await gate.starts(1)
            await asyncio.to_thread(server.wait_for, BLOCKED)
            assert await server.stops() == 1
    assert server.events()[-1] == "a handler or the store did not stop in time; exiting without it"
    async with serving_process(tmp_path) as (_, stub):
        (found,) = await completions(stub, 1)
    assert found.order.start_sequence == 2


@pytest.mark.seconds
async def test_the_log_is_json_its_texts_are_constant_and_no_order_stands_in_it(
    tmp_path: Path,
) -> None:
    arguments = ("--handler", "support.handlers:by_sku", "--workers", "1", *ONCE)
    logs = []
    for name in ("one", "two"):
        async with serving_process(tmp_path / name, *arguments) as (server, stub):
            await stub.PlaceOrder(order("raise", labels={"note": "lovelace"}))
            await completions(stub, 1)
            assert await server.stops() == 0
        logs.append(server.log)
    texts = ["store opened", "listening", "attempt failed", "stopping", "stopped"]
    assert [[entry["event"] for entry in log] for log in logs] == [texts, texts]
    assert all({"level", "timestamp"} <= set(entry) for entry in logs[0])
    assert "LookupError" in str(logs[0][2]["exception"])
    assert "lovelace" not in str(logs)
