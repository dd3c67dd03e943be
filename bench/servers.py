"""The servers that are measured: ours, and bare ones that do nothing but gRPC."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server at work: its port and process, and how long its start took."""

    port: int
    pid: int
    seconds: float
    metrics: str = ""
    """The address of its metrics, if it serves them."""

    def cpu_seconds(self) -> float:
        """Tell how much processor time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, what: str = "VmRSS") -> int:
        """Tell how many bytes of memory it holds; VmHWM: held at the most."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{what}:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else 0

    def cpu(self) -> float:
        """Tell how many seconds its threads have run, all together; those that ended left out."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


@contextmanager
def order_server(data: Path | str, *options: str) -> Iterator[Server]:
    """Run orderintake-server on a directory."""
    command = [
        *(sys.executable, "-m", "orderintake_server.main"),
        *("--listen", "127.0.0.1:0", "--data", str(data), "--queue-limit", "100000000"),
        *options,
    ]
    began, said = time.perf_counter(), []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=_finding_us()) as process:
        try:
            metrics = ""
            for line in process.stderr or ():
                said.append(line)
                if served := re.search(r"url=(http\S+)", line):
                    metrics = served[1]
                if found := re.search(r"^(?=.*listening).*127\.0\.0\.1:(\d+)", line):
                    seconds = time.perf_counter() - began
                    threading.Thread(target=_drain, args=[process.stderr], daemon=True).start()
                    yield Server(
                        port=int(found[1]), pid=process.pid, seconds=seconds, metrics=metrics
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


def _finding_us() -> dict[str, str]:
    """Give our environment, in which the handlers beside this file are found too."""
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


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
