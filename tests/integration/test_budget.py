"""No change makes the service do much more for an order than it did, unless somebody says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COUNTS = ROOT / "bench" / "counts.py"
ONE_MORE = '''
import sqlite3, sys
sys.path.insert(0, {bench!r})
import counts

def connect(*given, factory, **named):
    class Wasteful(factory):
        """Runs one statement more for each row that is inserted."""

        def execute(self, sql, *values):
            for _ in range(sql.count("(?,")):
                super().execute("SELECT 1")
            return super().execute(sql, *values)

    return sqlite3_connect(*given, **named, factory=Wasteful)

sqlite3_connect, counts.CONNECT = counts.CONNECT, connect
sys.argv = ["counts"]
counts.main()
'''


def counted(*command: str) -> subprocess.CompletedProcess[str]:
    """Count in a process of its own, in which nothing else watches what is called."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env=plain
    )


@pytest.mark.seconds
def test_an_order_costs_what_the_budget_allows() -> None:
    done = counted(str(COUNTS))
    assert done.returncode == 0, done.stderr


@pytest.mark.seconds
def test_a_statement_more_for_each_order_is_found() -> None:
    done = counted("-c", ONE_MORE.format(bench=str(COUNTS.parent)))
    assert done.returncode == 1
    assert "SQL statements an order; the budget is" in done.stderr
    assert "make counts ARGS=--renew" in done.stderr
