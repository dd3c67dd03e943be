"""The command `orderintake`, run by a test."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from typer.testing import CliRunner, Result

from client.fake_server import FakeServer
from orderintake.cli.app import app


def run(server: FakeServer, *arguments: str) -> Result:
    """Run a command to its end, in this process."""
    return run_at(server.target, *arguments)


def run_at(target: str, *arguments: str) -> Result:
    """Run a command against any server."""
    return CliRunner().invoke(app, arguments, env={"ORDERINTAKE_SERVER": target})


def program(server: FakeServer, *arguments: str, stdin: int | None = None) -> subprocess.Popen[str]:
    """Start a command as a program of its own."""
    command = [sys.executable, "-c", "from orderintake.cli import main; main()"]
    return subprocess.Popen(
        [*command, "--server", server.target, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def watching(
    server: FakeServer, *options: str
) -> Iterator[tuple[subprocess.Popen[str], IO[str], IO[str]]]:
    """Run watch as a program; give it, its output, and its errors."""
    with program(server, "watch", *options) as watch:
        assert watch.stdout
        assert watch.stderr
        try:
            yield watch, watch.stdout, watch.stderr
        finally:
            watch.kill()


def lines_of(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]
