"""A real PgBouncer in front of a real PostgreSQL."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.postgres import DATABASE, Cluster
from support.program import Program, on_free_port, own, place


def program() -> Path:
    """Tell where PgBouncer is. Raises FileNotFoundError where it is not installed."""
    sbin = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    if found := shutil.which("pgbouncer", path=sbin):
        return Path(found)
    raise FileNotFoundError("there is no pgbouncer (on Debian: apt-get install pgbouncer)")


@contextmanager
def pooler(
    cluster: Cluster, mode: str = "transaction", *, database: str = DATABASE, **settings: str | int
) -> Iterator[str]:
    """Run a pooler to the cluster; give the url of one of its databases by way of it.

    Raises FileNotFoundError where PgBouncer is not installed.
    """
    found = program()
    with place() as directory:

        def launch(port: int) -> Program:
            file = directory / "pgbouncer.ini"
            file.write_text(_configuration(cluster, port, {"pool_mode": mode, **settings}))
            own(file)
            return Program(found, file, cwd=directory)

        running, port = on_free_port(launch, "process up")
        try:
            yield f"postgresql://{DATABASE}@127.0.0.1:{port}/{database}"
        finally:
            running.kill()


def _configuration(cluster: Cluster, port: int, settings: dict[str, str | int]) -> str:
    given: dict[str, str | int] = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "max_client_conn": 1000,
        "default_pool_size": 20,
        **settings,
    }
    lines = [f"{name} = {value}" for name, value in given.items()]
    server = f"* = host=127.0.0.1 port={cluster.port} user={DATABASE}"
    return "\n".join(["[databases]", server, "[pgbouncer]", *lines, ""])
