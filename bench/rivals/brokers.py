"""The brokers that rivals need: on loopback, with data of their own, flushing what they can."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
from database import Cluster, postgres
from turns import LeftOut

BINARIES = Path(__file__).parents[2] / ".venv-rivals" / "bin"
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_SECONDS = 90.0


class Broker(Protocol):
    """A broker: started, killed, and started again on what it left."""

    @property
    def address(self) -> str:
        """Where clients find it."""

    def start(self) -> None:
        """Start it; it takes connections on return."""

    def kill(self) -> None:
        """End all its processes by SIGKILL."""

    def pids(self) -> list[int]:
        """Tell its processes."""


@dataclass
class NoBroker:
    """For who needs none: only a place where its one process will listen."""

    address: str

    def start(self) -> None:
        """Do nothing."""

    kill = start

    def pids(self) -> list[int]:
        """Tell none."""
        return []


@dataclass
class Program:
    """A broker that is a program which listens on a port."""

    folder: Path
    port: int
    address: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        if shutil.which(self.command[0]) is None:
            raise LeftOut(f"there is no {Path(self.command[0]).name}")
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                cwd=self.folder,
            )
        wait_for_port(self.port)

    def pids(self) -> list[int]:
        """Tell its processes."""
        return tree(self.process.pid) if self.process else []

    def kill(self) -> None:
        """Kill them all."""
        kill(self.pids())
        if self.process:
            self.process.wait()


@dataclass
class Postgres:
    """PostgreSQL, as ours is measured on: fsync and synchronous_commit are on."""

    cluster: Cluster
    address: str

    def start(self) -> None:
        """Start it again; it runs already at first."""
        if not self.pids():
            self.cluster.start()

    def pids(self) -> list[int]:
        """Tell its processes."""
        with suppress(psutil.NoSuchProcess):
            return tree(self.cluster.server.pid)
        return []

    def kill(self) -> None:
        """Kill them all."""
        self.cluster.kill()


@contextmanager
def none(_: Path) -> Iterator[Broker]:
    """Give a place to listen."""
    yield NoBroker(f"127.0.0.1:{free_port()}")


@contextmanager
def postgresql(_: Path) -> Iterator[Broker]:
    """Run PostgreSQL."""
    with postgres() as cluster:
        yield Postgres(cluster, cluster.create_database("rival"))


@contextmanager
def running(program: Program) -> Iterator[Broker]:
    """Run a program while inside."""
    program.start()
    try:
        yield program
    finally:
        program.kill()


@contextmanager
def redis(folder: Path) -> Iterator[Broker]:
    """Run Redis; it flushes each change: https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/."""
    port = free_port()
    command = (
        *("redis-server", "--dir", str(folder), "--port", str(port), "--bind", "127.0.0.1"),
        *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
    )
    with running(Program(folder, port, f"redis://127.0.0.1:{port}", command)) as broker:
        yield broker


@contextmanager
def nats(folder: Path) -> Iterator[Broker]:
    """Run NATS; it flushes each message: https://docs.nats.io/running-a-nats-service/configuration."""
    port, file = free_port(), folder / "nats.conf"
    store = f'store_dir: "{folder}/jetstream", sync_interval: always'
    file.write_text(f"listen: 127.0.0.1:{port}\njetstream {{ {store} }}\n")
    command = (str(BINARIES / "nats-server"), "--config", str(file))
    with running(Program(folder, port, f"nats://127.0.0.1:{port}", command)) as broker:
        yield broker


@contextmanager
def rabbitmq(folder: Path) -> Iterator[Broker]:
    """Run RabbitMQ: https://www.rabbitmq.com/docs/configure; a quorum queue flushes by itself."""
    port, epmd = free_port(), free_port()
    plugins = folder / "plugins"
    plugins.write_text("[].\n")
    environment = {
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "HOME": str(folder),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_NODENAME": "rivals@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
    }
    address = f"amqp://guest:guest@127.0.0.1:{port}/"
    program = Program(folder, port, address, (str(RABBITMQ),), environment)
    try:
        with running(program) as broker:
            yield broker
    finally:
        end_epmd(epmd)


def end_epmd(port: int) -> None:
    """End Erlang's port mapper of this port, which outlives who started it."""
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):
            mine = process.info["name"] == "epmd"
            if mine and process.environ().get("ERL_EPMD_PORT") == str(port):
                process.kill()


def free_port() -> int:
    """Find a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Wait until somebody listens there. Raises TimeoutError."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise TimeoutError(f"nobody listens on {port}") from None
            time.sleep(0.05)
        else:
            return


def tree(pid: int) -> list[int]:
    """Tell a process and all below it."""
    try:
        first = psutil.Process(pid)
        return [pid, *(child.pid for child in first.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def kill(pids: Sequence[int]) -> None:
    """End processes by SIGKILL."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
