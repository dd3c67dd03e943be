"""The command `orderintake`, run by a test."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
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


COMMAND = [sys.executable, "-c", "from orderintake.cli import main; main()"]


def program(
    server: FakeServer, *arguments: str, stdin: int | None = None, stdout: str | None = None
) -> subprocess.Popen[str]:
    """Start a command as a program of its own; its output may go to a file, or ("") to nobody."""
    with ExitStack() as files:
        out: int | IO[str] = subprocess.PIPE
        if stdout:
            out = files.enter_context(Path(stdout).open("w"))
        elif stdout is not None:
            reading, out = os.pipe()
            os.close(reading)
            files.callback(os.close, out)
        return subprocess.Popen(
            [*COMMAND, "--server", server.target, *arguments],
            stdin=stdin,
            stdout=out,
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
