"""Processes of one script that begin together.

The script prints a line once it is ready. For each line it is sent it does something, and prints
what came of it in a line.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

Process = subprocess.Popen[str]


class Crew:
    """Processes that are ready."""

    def __init__(self, processes: Sequence[Process]) -> None:
        """Lead these."""
        self._processes = processes

    def run(self, what: str = "", *, count: int | None = None) -> list[str]:
        """Let all, or the first so many, do this at once; give what each printed."""
        told = self._processes[:count]
        for process in told:
            _pipe(process.stdin).write(f"{what}\n")
            _pipe(process.stdin).flush()
        return [_line(process) for process in told]


@contextmanager
def crew(script: str, *arguments: str, count: int) -> Iterator[Crew]:
    """Run so many processes of a script beside this one, until leaving."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    with ExitStack() as stack:
        processes = []
        for _ in range(count):
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            _line(process)
        yield Crew(processes)


def _line(process: Process) -> str:
    line = _pipe(process.stdout).readline()
    if not line:
        raise RuntimeError(f"it ended early: {process.args!r}")
    return line.strip()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe
    return pipe
