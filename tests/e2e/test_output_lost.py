"""A command whose output cannot be written says so, by a line and an exit code of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.seconds  # two processes each
SERVER = [sys.executable, "-m", "orderintake_server.main"]
COMMANDS = [["--version"], ["--help"], ["audit", "--help"], ["audit", "--data", "data"]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A directory with an empty store in its directory data."""
    code = (
        "import sqlite3; from pathlib import Path\n"
        "from orderintake_server.store.sqlite.schema import prepare\n"
        "path = Path('data/orders.db'); path.parent.mkdir()\n"
        "prepare(sqlite3.connect(path, isolation_level=None), path)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_disk_is_told_and_is_no_other_exit_code(
    store: Path, command: list[str], buffered: str
) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": buffered}
    with Path("/dev/full").open("w") as full:
        end = subprocess.run(
            [*SERVER, *command], cwd=store, env=env, stdout=full, stderr=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
    assert end.returncode == 74
    assert end.stderr == "the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reader_that_left_is_no_error_of_ours(store: Path, command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    end = subprocess.run(
        [*SERVER, *command], cwd=store, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (end.returncode, end.stderr) == (141, b"")
