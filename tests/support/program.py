"""A foreign program: started as a user that is not root, its log awaited, ended."""

import os
import pwd
import random
import re
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

RUN_SECONDS = 60
"""No start, stop or command takes longer, even after a crash and on a busy machine."""
PORT_TRIES = 10
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Which of the processes this is that run the tests at the same time."""
PORTS = range(20_000 + WORKER, 32_000, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
"""Those that no other of them takes; they are below Linux's range for outgoing connections."""


class EndedEarly(Exception):
    """A program ended that should have run on; its log is the message."""


class Program:
    """A running program, whatever it started, and what they printed."""

    def __init__(self, *command: str | Path, cwd: Path) -> None:
        """Start it, as a user that is not root."""
        self.log: list[str] = []
        self._read = 0
        self._grown = threading.Condition()
        self._is_over = False
        self._process = subprocess.Popen(
            [*unprivileged(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=environment(),
        )
        self._reader = threading.Thread(target=self._read_log, name="program-log", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self._process.poll() is None

    def wait_for(self, text: str, *, seconds: float = RUN_SECONDS) -> str:
        """Wait for the next line of its log that this regular expression is found in.

        Raises EndedEarly when the program ends before; TimeoutError after `seconds`.
        """
        with self._grown:
            found = self._grown.wait_for(lambda: self._next(text) or self._is_over, seconds)
        if isinstance(found, str):
            return found
        if self._is_over:
            self._wait()
            raise EndedEarly("\n".join(self.log))
        raise TimeoutError(f"no {text!r} in {seconds} s: {self.log}")

    def stop(self, number: signal.Signals) -> None:
        """Send it a signal to stop, if it still runs; wait for the end of all it started."""
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)  # a test may have made it pause
        self._wait()

    def kill(self) -> None:
        """End it and all that it started at once, by SIGKILL; wait until nothing of it runs."""
        if self.is_running():
            self._process.send_signal(signal.SIGSTOP)  # nobody is started after the list is made
            children = psutil.Process(self.pid).children(recursive=True)
            self._process.kill()
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        self._wait()

    def _wait(self) -> None:
        """Wait for the log's end: it comes when the last process that writes to it is gone."""
        self._process.wait(RUN_SECONDS)
        self._reader.join(RUN_SECONDS)
        assert self._is_over, f"processes that {self._process.args!r} started are still there"

    def _next(self, text: str) -> str | None:
        while self._read < len(self.log):
            self._read += 1
            if re.search(text, self.log[self._read - 1]):
                return self.log[self._read - 1]
        return None

    def _read_log(self) -> None:
        """Keep reading, so that a pipe nobody reads never holds the program up."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._grown:
                    self.log.append(line.rstrip())
                    self._grown.notify_all()
        with self._grown:
            self._is_over = True
            self._grown.notify_all()


@contextmanager
def place(parent: Path | None = None) -> Iterator[Path]:
    """Make a directory that is the unprivileged user's; take it away at the end."""
    with tempfile.TemporaryDirectory(prefix="orderintake-", dir=parent) as name:
        directory = Path(name)
        directory.chmod(0o755)
        own(directory)
        yield directory


def own(path: Path) -> None:
    """Give the file or directory to the unprivileged user."""
    if os.geteuid() == 0:
        user = _user()
        os.chown(path, user.pw_uid, user.pw_gid)


def unprivileged() -> list[str]:
    """Give what to begin a command with that must not be run by root."""
    if os.geteuid() != 0:
        return []
    user = _user()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def on_free_port(launch: Callable[[int], Program], ready: str) -> tuple[Program, int]:
    """Start a program on a free port; it has printed that it is ready on return."""
    for _ in range(PORT_TRIES):
        port = free_port()
        program = launch(port)
        try:
            program.wait_for(ready)
        except EndedEarly as ended:
            if "Address already in use" not in str(ended):
                raise
        except TimeoutError:
            program.kill()
            raise
        else:
            return program, port
    raise OSError(f"no free port in {PORT_TRIES} tries")


def environment() -> dict[str, str]:
    """Give our environment, less what PostgreSQL's programs would take as arguments."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _user() -> pwd.struct_passwd:
    """Tell who runs programs when we are root."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def free_port() -> int:
    """Give a port that is free, and that no outgoing connection takes while its server is down."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
