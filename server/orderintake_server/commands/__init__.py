"""The other commands, run by an operator: on a store, and keys on the file of the callers."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from orderintake_server import config, parts
from orderintake_server.commands.keys import keys
from orderintake_server.errors import StartupFailed, StoreError
from orderintake_server.store.sqlite import audit as sqlite_audit
from orderintake_server.store.sqlite.files.backup import backup

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.store.audit import Finding
    from orderintake_server.store.postgres.others.listed import Replica


_DATA: Any = Field(default=Path("data"), description="directory of the store")
_STORE: Any = Field(description="the database that is the store", repr=False)


class Audit(config.Sourced):
    """Check every rule of a store, and name the broken ones.

    Servers may be using it. Exit code 0: every rule holds; 1: a rule is broken;
    2: there is no store to check; 74: the output cannot be written.
    """

    data: config.Directory = _DATA
    store: config.Database = Field(
        default="", description="or the database that is the store", repr=False
    )


class Backup(config.Sourced):
    """Copy the store in a directory to a new file.

    Its server may be using it. The copy is complete and on the disk when the
    command ends. To restore it, put it into an empty directory as orders.db.
    A database is backed up by its own tools, such as pg_dump.
    """

    target: Annotated[config.File, config.POSITIONAL] = Field(
        alias="to", description="file to make"
    )
    data: config.Directory = _DATA


class Migrate(config.Sourced):
    """Make the store in a database, or bring it up to date.

    Servers may be using it.
    """

    store: config.Database = _STORE


class Copy(config.Sourced):
    """Copy a store from a directory into a database, or back.

    There must be no store at the target yet, and no server may use either
    meanwhile. Order ids, cursors and request_ids stay the same: clients can go
    on using them.
    """

    source: config.AnyStore = Field(alias="from", description="store to copy", repr=False)
    target: config.AnyStore = Field(alias="to", description="where to copy it", repr=False)


class Servers(config.Sourced):
    """List the servers that use a database, alive or not.

    A server is alive while its heartbeats come. One that is silent for longer
    than its lease is dead or frozen: another server takes over the orders that
    it had in process, within seconds, and then it is not listed any more.
    """

    store: config.Database = _STORE


def _audit(settings: Audit) -> int:
    findings = _findings(settings)
    for finding in findings:
        config.tell(_line(finding))
    if not findings:
        config.tell(f"{'the store' if settings.store else settings.data}: every rule holds")
    return 1 if findings else 0


def _findings(settings: Audit) -> list[Finding]:
    if not settings.store:
        return sqlite_audit.audit(settings.data)
    with parts.postgres_driver():
        from orderintake_server.store.postgres import audit  # noqa: PLC0415 - an extra
    return asyncio.run(audit.audit(settings.store))


def _line(finding: Finding) -> str:
    examples = "; ".join(finding.examples)
    return f"BROKEN: {finding.rule}: {finding.count} times: {examples}"


def _backup(settings: Backup) -> int:
    size = backup(settings.data, settings.target)
    config.tell(f"copied {settings.data} to {settings.target}, {size} bytes")
    return 0


def _migrate(settings: Migrate) -> int:
    with parts.postgres_driver():
        from orderintake_server.store.postgres import schema  # noqa: PLC0415 - an extra
    applied = asyncio.run(schema.migrate(settings.store))
    config.tell(f"applied steps {applied}" if applied else "the store is up to date")
    return 0


def _copy(settings: Copy) -> int:
    with parts.postgres_driver():
        from orderintake_server.commands import copy  # noqa: PLC0415 - needs an extra
    copied = asyncio.run(copy.copy(settings.source, settings.target))
    config.tell(
        f"copied {copied.orders} orders, {copied.completions} completions and"
        f" {copied.request_ids} request_ids"
    )
    return 0


def _servers(settings: Servers) -> int:
    with parts.postgres_driver():
        from orderintake_server.store.postgres import connector  # noqa: PLC0415 - an extra
        from orderintake_server.store.postgres.others import listed  # noqa: PLC0415
    found = asyncio.run(listed.replicas(connector.Connector(settings.store)))
    for replica in found:
        config.tell(
            f"{replica.name}: {replica.workers} workers, {replica.in_process} orders in process, "
            f"{_life(replica)}"
        )
    if not found:
        config.tell("no server uses the store")
    return 0


def _life(replica: Replica) -> str:
    silent = _length(replica.silent_seconds)
    if replica.lease_seconds < 0:
        return f"dead or frozen: its last heartbeat came {silent} ago"
    return f"alive for {_length(replica.up_seconds)}, last heartbeat {silent} ago"


def _length(seconds: float) -> str:
    """Tell a length of time in its two largest units."""
    whole = round(seconds)
    for size, unit, part, smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Command:
    """A command: what it is told, and what it does."""

    settings: type[config.Sourced]
    run: Callable[[Any], int]
    """Takes the settings, which are of that type, and returns the exit code."""

    @property
    def summary(self) -> str:
        """What it is for, in a line."""
        return (self.settings.__doc__ or "").partition("\n")[0]

    def __call__(self, name: str, arguments: list[str]) -> int:
        """Read the arguments and do it; return the exit code, 2 when it cannot be done."""
        for variable, nearest in config.unknown_variables().items():
            if nearest:
                _complain(f"{variable} sets nothing; did you mean {nearest}?")
        try:
            return self.run(config.read_for(self.settings, name, arguments))
        except (StartupFailed, StoreError) as error:
            _complain(f"{config.PROGRAM} {name}: {error}")
            return 2


def _complain(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - a command's errors


_COMMANDS = {
    "audit": Command(Audit, _audit),
    "backup": Command(Backup, _backup),
    "migrate": Command(Migrate, _migrate),
    "copy": Command(Copy, _copy),
    "servers": Command(Servers, _servers),
}
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    **{name: partial(command, name) for name, command in _COMMANDS.items()},
    "keys": keys,
}
"""Each takes its command line arguments and returns the exit code."""
SUMMARIES = {
    **{name: command.summary for name, command in _COMMANDS.items()},
    "keys": "Add callers to the file of --access, list them, and remove them.",
}
"""What each command is for, in a line."""
