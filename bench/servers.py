"""The servers that are measured: ours, of this or another tree, and bare ones."""

import ctypes
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

WAIT_SECONDS = 60.0


def cpu_seconds(pid: int) -> float:
    """Tell how long a process has run: user and system, all threads, also those that ended."""
    clock = ctypes.c_int()
    if wrong := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(wrong, f"process {pid} has no clock")
    return time.clock_gettime(clock.value)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server at work: its port and process, and how long its start took."""

    port: int
    pid: int
    seconds: float
    metrics: str = ""
    """The address of its metrics, if it serves them."""
    data: Path | None = None
    """The directory of its orders, if they are on disk."""

    def cpu_seconds(self) -> float:
        """Tell how long its process has run, all threads together."""
        return cpu_seconds(self.pid)

    def threads(self) -> dict[tuple[str, str], float]:
        """Tell how long each thread has run, by whose it is and its id.

        They are listed as they began: the event loop's; the store's, which stand before there is
        gRPC; gRPC's, which name themselves, and one of Python's among them.
        """
        found, whose, loops_name = {}, "loop", ""
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                name, ran = ((thread / file).read_text() for file in ("comm", "schedstat"))
                loops_name = loops_name or name
                whose = whose if name == loops_name else "grpc"
                found[whose, thread.name] = int(ran.split()[0]) / 1e9
                whose = "store" if whose == "loop" else whose
        return found

    def memory(self, what: str = "VmRSS") -> int:
        """Tell how many bytes of memory it holds; VmHWM: held at the most."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{what}:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else 0

    def accepted(self) -> int:
        """Read from its files how many orders it has accepted: the server is not asked."""
        return self._read("SELECT max(accept_sequence) FROM orders")

    def started(self) -> int:
        """Read from its files how many attempts have begun."""
        return self._read("SELECT count(*) FROM starts")

    def completed(self) -> int:
        """Read from its files how many orders have ended."""
        return self._read("SELECT max(sequence) FROM log")

    def wait_for(self, orders: int) -> None:
        """Wait until so many orders have ended."""
        until(lambda: self.completed() >= orders, f"{orders} orders to end")

    def _read(self, query: str) -> int:
        assert self.data, "its orders are not on disk"
        file = f"{(self.data / 'orders.db').absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(file, uri=True, timeout=WAIT_SECONDS)) as connection:
            return int(connection.execute(query).fetchone()[0] or 0)


def until(is_true: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Look every few milliseconds until it is so. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.005)


@contextmanager
def order_server(data: Path | str, *options: str, tree: Path | None = None) -> Iterator[Server]:
    """Run orderintake-server on a directory; `tree`: as another tree of this project has it."""
    command = [
        *(sys.executable, "-m", "orderintake_server.main"),
        *("--listen", "127.0.0.1:0", "--data", str(data)),
        *("--queue-limit", "100000000", "--subscriber-limit", "100000"),
        *options,
    ]
    began, said, metrics = time.perf_counter(), [], ""
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment(tree)
    ) as process:
        try:
            for line in process.stderr or ():
                said.append(line)
                if served := re.search(r"url=(http\S+)", line):
                    metrics = served[1]
                if found := re.search(r"^(?=.*listening).*127\.0\.0\.1:(\d+)", line):
                    threading.Thread(target=_drain, args=[process.stderr], daemon=True).start()
                    yield Server(
                        port=int(found[1]),
                        pid=process.pid,
                        seconds=time.perf_counter() - began,
                        metrics=metrics,
                        data=Path(data),
                    )
                    return
            raise RuntimeError(f"the server did not start: {''.join(said)}")
        finally:
            process.kill()


def _drain(log: IO[str]) -> None:
    """Read a log that nobody wants to its end, so that its writer is as fast as it can be."""
    with suppress(ValueError):  # closed meanwhile
        for _ in log:
            pass


def environment(tree: Path | None = None) -> dict[str, str]:
    """Give our environment, where handlers beside this file are found, and the tree's packages."""
    packages = (str(tree / "client"), str(tree / "server")) if tree else ()
    mine = (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (*packages, *mine)))}


@contextmanager
def bare_server(script: str, *arguments: str) -> Iterator[Server]:
    """Run a server that prints its port, a script beside this one."""
    path = Path(__file__).with_name(script)
    began = time.perf_counter()
    command = [sys.executable, str(path), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int((process.stdout or sys.stdin).readline())
            yield Server(port=port, pid=process.pid, seconds=time.perf_counter() - began)
        finally:
            process.kill()
