"""The other commands, run by an operator: on a store, and keys on the file of the callers."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliPositionalArg,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from orderintake_server import config, parts
from orderintake_server.commands.keys import keys
from orderintake_server.errors import StartupFailed, StoreError
from orderintake_server.store.sqlite import audit as sqlite_audit
from orderintake_server.store.sqlite.files.backup import backup

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.store.audit import Finding


class _Command(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="ORDERINTAKE_", extra="ignore", cli_show_env_vars=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read no variable without our prefix: FROM and TO belong to whoever set them."""
        return init_settings, config.PrefixedVariables(settings_cls)


_Asked = TypeVar("_Asked", bound=_Command)


class Audit(_Command):
    """Check every rule of a store and name the broken ones; servers may be using the store.

    Exit code 0: every rule holds; 1: a rule is broken; 2: there is no store to check.
    """

    data: config.Directory = Field(default=Path("data"), description="directory of the store")
    store: config.Database = Field(
        default="", description="or its database: postgresql://…", repr=False
    )


class Backup(_Command):
    """Copy the store in a directory to a new file TO; its server may be using it.

    The copy is complete and on the disk when the command ends. To restore it, put it into an empty
    directory as orders.db. A database is backed up by its own tools, such as pg_dump.
    """

    target: CliPositionalArg[config.File] = Field(alias="to", description="file to make")
    data: config.Directory = Field(default=Path("data"), description="directory of the store")


class Migrate(_Command):
    """Make the store in a database, or bring it up to date; servers may be using it."""

    store: config.Database = Field(description="the database: postgresql://…", repr=False)


class Copy(_Command):
    """Copy a store to a target where there is none yet; no server may use the store meanwhile.

    Order ids, cursors and request_ids stay the same: clients can go on using them.
    """

    model_config = SettingsConfigDict(cli_show_env_vars=False)

    source: config.AnyStore = Field(
        alias="from", description="directory or postgresql://… [env: ORDERINTAKE_FROM]", repr=False
    )
    target: config.AnyStore = Field(
        alias="to", description="directory or postgresql://… [env: ORDERINTAKE_TO]", repr=False
    )


class Servers(_Command):
    """List the servers that use a store: what each has in process, how long its lease lasts."""

    store: config.Database = Field(description="the database: postgresql://…", repr=False)


def _audit(settings: Audit) -> int:
    findings = _findings(settings)
    for finding in findings:
        _print(_line(finding))
    if not findings:
        _print(f"{'the store' if settings.store else settings.data}: every rule holds")
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
    _print(f"copied {settings.data} to {settings.target}, {size} bytes")
    return 0


def _migrate(settings: Migrate) -> int:
    with parts.postgres_driver():
        from orderintake_server.store.postgres import schema  # noqa: PLC0415 - an extra
    applied = asyncio.run(schema.migrate(settings.store))
    _print(f"applied steps {applied}" if applied else "the store is up to date")
    return 0


def _copy(settings: Copy) -> int:
    with parts.postgres_driver():
        from orderintake_server.commands import copy  # noqa: PLC0415 - needs an extra
    copied = asyncio.run(copy.copy(settings.source, settings.target))
    _print(
        f"copied {copied.orders} orders, {copied.completions} completions and"
        f" {copied.request_ids} request_ids"
    )
    return 0


def _servers(settings: Servers) -> int:
    with parts.postgres_driver():
        from orderintake_server.store.postgres import connector, heartbeat  # noqa: PLC0415 - an extra
    found = asyncio.run(heartbeat.replicas(connector.Connector(settings.store)))
    for replica in found:
        _print(
            f"{replica.name}: {replica.workers} workers, {replica.in_process} orders in process, "
            f"up for {replica.up_seconds:.0f} s, {_lease(replica.lease_seconds)}"
        )
    if not found:
        _print("no server uses the store")
    return 0


def _lease(seconds: float) -> str:
    if seconds < 0:
        return f"silent: its lease ended {-seconds:.0f} s ago"
    return f"its lease lasts {seconds:.0f} s more"


def _run(name: str, kind: type[_Asked], run: Callable[[_Asked], int], arguments: list[str]) -> int:
    """Read the command's settings and run it; return its exit code, 2 when it cannot run."""

    class Named(kind):  # type: ignore[valid-type, misc] # a class of settings, chosen at run time
        __doc__ = kind.__doc__
        model_config = SettingsConfigDict(cli_prog_name=f"orderintake-server {name}")

    try:
        with config.plain_errors():
            asked = Named(_cli_parse_args=arguments)
        return run(asked)
    except ValidationError as error:
        why = config.explained(error)
    except (StartupFailed, StoreError) as error:
        why = str(error)
    print(f"orderintake-server {name}: {why}", file=sys.stderr)  # noqa: T201
    return 2


def _print(text: str) -> None:
    print(text)  # noqa: T201 - the command's output


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "audit": lambda arguments: _run("audit", Audit, _audit, arguments),
    "backup": lambda arguments: _run("backup", Backup, _backup, arguments),
    "migrate": lambda arguments: _run("migrate", Migrate, _migrate, arguments),
    "copy": lambda arguments: _run("copy", Copy, _copy, arguments),
    "servers": lambda arguments: _run("servers", Servers, _servers, arguments),
    "keys": keys,
}
"""Each takes its command line arguments and returns the exit code."""
