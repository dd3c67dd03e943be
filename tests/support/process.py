"""A real server process: started, signalled, killed, started again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXIT_SECONDS = 40
"""No stop takes longer: the drain timeout of the tests, and what comes after it."""


class ServerProcess:
    """A running orderintake-server of the test's own."""

    def __init__(self, data: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        """Start it on a free port; return when it listens. Its log is kept as entries."""
        self.log: list[dict[str, object]] = []
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "orderintake_server.main"),
                *("--data", str(data), "--listen", "127.0.0.1:0", "--log-format", "json"),
                *arguments,
            ],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.address = str(self.wait_for("listening")["address"])

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def wait_for(self, event: str) -> dict[str, object]:
        """Read the log until this entry; fail with the log when the process ends before."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if not line.startswith("{"):
                self.log.append({"event": line.rstrip()})
                continue
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == event:
                return self.log[-1]
        raise AssertionError(f"the server ended before {event!r}: {self.log}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end, reading the rest of its log."""
        _, rest = self._process.communicate(timeout=EXIT_SECONDS)
        for line in rest.splitlines():
            self.log.append(json.loads(line) if line.startswith("{") else {"event": line})
        return self._process.returncode

    def kill(self) -> None:
        """End it by SIGKILL, if it still runs, and reap it."""
        self._process.kill()
        self._process.communicate()

    def resident_bytes(self) -> int:
        """Tell how much memory it holds now."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def server_process(
    data: Path, *arguments: str, env: dict[str, str] | None = None
) -> Iterator[ServerProcess]:
    """Run a server process; kill what is left of it at the end."""
    process = ServerProcess(data, *arguments, env=env)
    try:
        yield process
    finally:
        process.kill()
