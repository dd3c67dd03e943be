"""The audit as an operator runs it: beside a running server, on a broken store, on none."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.in_process import completions
from support.orders import order
from support.process import run_to_end, serving_process


@pytest.mark.seconds
async def test_a_store_in_use_is_audited_and_one_that_breaks_a_rule_is_named(
    tmp_path: Path,
) -> None:
    async with serving_process(tmp_path) as (server, stub):
        for _ in range(3):
            await stub.PlaceOrder(order())
        await completions(stub, 3)
        clean = run_to_end("audit", "--data", str(tmp_path))
        assert await server.stops() == 0
    with closing(sqlite3.connect(tmp_path / "orders.db")) as connection, connection:
        connection.execute("DELETE FROM log WHERE sequence = 2")
    broken = run_to_end("audit", "--data", str(tmp_path))

    assert (clean.returncode, clean.stderr) == (0, "")
    assert "every rule holds" in clean.stdout
    assert broken.returncode == 1
    assert "completion sequences have no hole" in broken.stdout
    assert "every order is in exactly one place" in broken.stdout


@pytest.mark.seconds
def test_where_there_is_no_store_there_is_nothing_to_audit(tmp_path: Path) -> None:
    end = run_to_end("audit", "--data", str(tmp_path))
    assert end.returncode == 2
    assert f"there is no store in {tmp_path}" in end.stderr


@pytest.mark.seconds
def test_the_audit_tells_how_it_is_used() -> None:
    end = run_to_end("audit", "--help")
    assert end.returncode == 0
    assert "--data" in end.stdout
