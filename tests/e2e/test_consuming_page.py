"""The Python of docs/consuming.md runs as it stands there."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from orderintake import Client
from support.process import server_process

PAGE = Path(__file__).parents[2] / "docs" / "consuming.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
BEGINNING = """
def handle(completion):
    print(completion.sequence, flush=True)
    if completion.sequence == LAST:
        raise SystemExit
"""
COMMITTED = '        database.execute("COMMIT")\n'
LEAVE = "        if batch.completions[-1].sequence == LAST: raise SystemExit\n"


def run(snippet: str, address: str, folder: Path, *, last: int) -> str:
    """Run a program that leaves at a completion, where its files are; give what it printed."""
    source = BEGINNING + snippet.replace(COMMITTED, COMMITTED + LEAVE)
    source = source.replace("LAST", str(last)).replace("127.0.0.1:50051", address)
    end = subprocess.run(
        [sys.executable, "-c", source], cwd=folder, timeout=30, check=False, capture_output=True
    )
    assert end.returncode == 0, end.stderr.decode()
    return end.stdout.decode()


def place(address: str, count: int) -> None:
    with Client(address) as client, client.completions(from_latest=True) as completions:
        for _ in range(count):
            client.place(customer_id="ada", lines={"tea": 1})
        for _ in range(count):
            next(completions)


def twice(snippet: str, folder: Path) -> tuple[str, str]:
    """Run a program over two completions, and again over two more."""
    with server_process(folder / "data") as server:
        place(server.address, 2)
        first = run(snippet, server.address, folder, last=2)
        place(server.address, 2)
        return first, run(snippet, server.address, folder, last=4)


@pytest.mark.seconds
def test_at_least_once_repeats_only_what_was_left_by_an_exception(tmp_path: Path) -> None:
    (snippet,) = (each for each in SNIPPETS if "FileCheckpoint" in each)
    assert twice(snippet, tmp_path) == ("1\n2\n", "2\n3\n4\n")


@pytest.mark.seconds
def test_exactly_once_has_each_effect_once(tmp_path: Path) -> None:
    (snippet,) = (each for each in SNIPPETS if "sqlite3" in each)
    twice(snippet, tmp_path)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        assert database.execute("SELECT count(*) FROM shipped").fetchone() == (4,)
        assert database.execute("SELECT count(*) FROM place").fetchone() == (1,)
