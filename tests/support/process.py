"""Real processes of servers and workers: started, signalled, killed, started again."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from signal import SIGTERM, Signals

import grpc

from support.in_process import Stub

START_SECONDS = 30
"""No start takes longer, even of a full store on a busy machine."""
EXIT_SECONDS = 40
"""No stop takes longer: the drain timeout of the tests, and what comes after it."""
TESTS = Path(__file__).parent.parent

Entry = dict[str, object]


class LoggedProcess:
    """A running program of ours, and its log as entries."""

    def __init__(
        self,
        *command: str,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start it; what it imports from `support` it finds."""
        self.log: list[Entry] = []
        self._read = 0
        self._grown = threading.Condition()
        self._is_over = False
        self._process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=_environment(env), cwd=cwd
        )
        self._reader = threading.Thread(target=self._read_log, name="program-log", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def wait_for(self, event: str, *, seconds: float = START_SECONDS) -> Entry:
        """Wait for the next log entry with this text.

        Fails with the log when the process ends before; raises TimeoutError after `seconds`.
        """
        with self._grown:
            found = self._grown.wait_for(lambda: self._next(event) or self._is_over, seconds)
        if isinstance(found, dict):
            return found
        if self._is_over:
            raise AssertionError(f"it ended before {event!r}: {self.log}")
        raise TimeoutError(f"no log entry {event!r} in {seconds} s: {self.log}")

    def events(self) -> list[object]:
        """Tell the texts of its log so far."""
        return [entry["event"] for entry in self.log]

    def is_running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self._process.poll() is None

    def signal(self, number: Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def stops(self, number: Signals = SIGTERM) -> int:
        """Send it a signal to stop; give its exit code."""
        self.signal(number)
        return await asyncio.to_thread(self.exit_code)

    def exit_code(self) -> int:
        """Wait for its end, reading the rest of its log."""
        code = self._process.wait(EXIT_SECONDS)
        self._reader.join()
        return code

    def kill(self) -> None:
        """End it by SIGKILL, if it still runs, and reap it."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def peak_memory(self) -> int:
        """Tell how many bytes of memory it held at the most."""
        return self._memory("VmHWM")

    def memory(self) -> int:
        """Tell how many bytes of memory it holds now."""
        return self._memory("VmRSS")

    def _memory(self, what: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith(f"{what}:")]
        return int(line.split()[1]) * 1024

    def _next(self, event: str) -> Entry | None:
        """Read on in the log to the next entry with this text."""
        while self._read < len(self.log):
            self._read += 1
            if self.log[self._read - 1]["event"] == event:
                return self.log[self._read - 1]
        return None

    def _read_log(self) -> None:
        """Keep reading, so that a pipe nobody reads never holds it up."""
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                with self._grown:
                    self.log.append(_entry(line))
                    self._grown.notify_all()
        with self._grown:
            self._is_over = True
            self._grown.notify_all()


class ServerProcess(LoggedProcess):
    """A running orderintake-server of the test's own."""

    def __init__(
        self,
        data: Path,
        *arguments: str,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        """Start it on a free port, or where the arguments say.

        `prefix` is what the command begins with.
        """
        listen = () if "--listen" in arguments else ("--listen", "127.0.0.1:0")
        place = ("--data", str(data), *listen, "--log-format", "json")
        super().__init__(*prefix, *_COMMAND, *place, *arguments, env=env, cwd=cwd)

    @cached_property
    def address(self) -> str:
        """Where it listens, once it does."""
        return str(self.wait_for("listening")["address"])


class WorkerProcess(LoggedProcess):
    """A running `orderintake worker` of the test's own."""

    def __init__(
        self,
        server: str,
        *arguments: str,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start it, to work for the server at this address."""
        place = ("worker", "--server", server, "--log-format", "json")
        super().__init__(str(_BIN / "orderintake"), *place, *arguments, env=env, cwd=cwd)


@contextmanager
def worker_process(server: str, *arguments: str) -> Iterator[WorkerProcess]:
    """Run a worker process for the server at this address; kill it at the end."""
    process = WorkerProcess(server, *arguments)
    try:
        yield process
    finally:
        process.kill()


@contextmanager
def server_process(
    data: Path,
    *arguments: str,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    prefix: tuple[str, ...] = (),
    waits: bool = True,
) -> Iterator[ServerProcess]:
    """Run a server process that listens, if it shall be waited for; kill it at the end."""
    process = ServerProcess(data, *arguments, env=env, cwd=cwd, prefix=prefix)
    try:
        if waits:
            assert process.address
        yield process
    finally:
        process.kill()


@asynccontextmanager
async def serving_process(
    data: Path, *arguments: str, env: dict[str, str] | None = None
) -> AsyncIterator[tuple[ServerProcess, Stub]]:
    """Run a server process; give it, and a stub that talks to it."""
    with server_process(data, *arguments, env=env) as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            yield process, Stub(channel)


def run_to_end(
    *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the server with just these arguments until it ends by itself; give what it printed."""
    with tempfile.TemporaryDirectory() as directory:  # for the data of one that starts after all
        return subprocess.run(
            [*_COMMAND, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS,
            env=_environment(env),
            cwd=directory,
        )


_BIN = Path(sys.executable).parent
_COMMAND = (str(_BIN / "orderintake-server"),)


def _environment(env: dict[str, str] | None) -> dict[str, str]:
    """Give our environment, in which `support` can be imported too: it has handlers."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **(env or {})}


def _entry(line: str) -> Entry:
    """Read a line of the log; whatever is no entry is kept as one."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {"event": line.rstrip()}
    return entry if isinstance(entry, dict) and "event" in entry else {"event": line.rstrip()}
