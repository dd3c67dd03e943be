"""Programs in Node, with their packages installed as their first lines say; those of docs/node."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
INSTALL_SECONDS = 50
END_SECONDS = 30
NODE, NPM = shutil.which("node"), shutil.which("npm")


def installed(folder: Path, programs: str = "node", beside: str = "node_handler.mjs") -> Path:
    """Do as `install` does; skip the test where npm cannot."""
    if why := install(folder, programs, beside):
        pytest.skip(why)
    return folder


@cache
def install(folder: Path, programs: str = "node", beside: str = "node_handler.mjs") -> str:
    """Put programs and their packages into an empty folder; tell why that cannot be.

    They are those of a folder of docs/, and one that only tests need.
    """
    if not NODE or not NPM:
        return "there is no Node"
    for path in (*(ROOT / "docs" / programs).iterdir(), ROOT / "tests" / "support" / beside):
        if path.is_file():
            shutil.copy(path, folder)
    command = (NPM, "install", "--no-package-lock", "--no-audit", "--no-fund")
    try:
        end = subprocess.run(
            command, cwd=folder, check=False, capture_output=True, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return "npm takes too long"
    return f"npm cannot install: {end.stderr.decode()[-300:]}" if end.returncode else ""


class NodeProgram:
    """One of the programs at work; what it prints is JSON, a value a line."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        """Start it where it is installed."""
        assert NODE
        self.process = subprocess.Popen(
            [NODE, *arguments, str(ROOT / "protos")],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"NODE_NO_WARNINGS": "1"} | variables,
        )

    def read(self) -> Any:  # noqa: ANN401 - JSON
        """Give the next that it prints."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"it has ended: {self.process.communicate()[1]}"
        return json.loads(line)

    def ends(self) -> tuple[int, str]:
        """Wait for its end; tell its exit code, and what it said of errors."""
        _, errors = self.process.communicate(timeout=END_SECONDS)
        return self.process.returncode, errors


@contextmanager
def node_program(folder: Path, *arguments: str, **variables: str) -> Iterator[NodeProgram]:
    """Run one of the programs; kill it at the end."""
    program = NodeProgram(folder, *arguments, **variables)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.communicate()
