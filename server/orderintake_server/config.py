"""Every setting, read once at start: from a flag, else a variable, else the file, else default."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from orderintake_server.domain import LONGEST_SECONDS
from orderintake_server.errors import StartupFailed

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\[\]]+):(\d{1,5})")
_LAST_PORT = 65_535


def _address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > _LAST_PORT:
        raise ValueError("must be HOST:PORT, with [ ] around an IPv6 host, and a port up to 65535")
    return text


def database(text: str) -> str:
    """Return the address of a database, or the empty text; raise ValueError for any other."""
    if text and not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    return text


class Settings(BaseSettings):
    """Durable, VIP-first order intake over gRPC.

    Each setting can be given as the flag shown, as the environment variable shown, or as a key of
    the TOML file that --config names: --queue-limit, ORDERINTAKE_QUEUE_LIMIT or queue_limit.
    A flag wins over a variable, and a variable over the file.

    Other commands: orderintake-server audit, migrate, copy and servers, each with --help.
    """

    model_config = SettingsConfigDict(
        env_prefix="ORDERINTAKE_",
        extra="forbid",
        frozen=True,
        cli_prog_name="orderintake-server",
        cli_kebab_case=True,
        cli_show_env_vars=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    listen: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:50051",
        description="HOST:PORT to serve on; port 0 means a free port, which the log names",
    )
    data: Path = Field(
        default=Path("data"),
        description="directory of the store, made if missing; only one server at a time may use it",
    )
    store: Annotated[str, AfterValidator(database)] = Field(
        default="",
        description="postgresql://… in place of a data directory: a database that any number of "
        "servers use together",
        repr=False,
    )
    replica: str = Field(
        default="",
        description="name of this server among those that use the database; by default host:pid",
    )
    lease: float = Field(
        default=15.0,
        ge=0.3,
        le=3600,
        allow_inf_nan=False,
        description="seconds without a heartbeat after which other servers start again the orders "
        "that a server had in process",
    )
    notify: bool = Field(
        default=True,
        description="whether servers notify each other of changes, by LISTEN and NOTIFY; if not, "
        "each polls the database every 5 to 100 ms",
    )
    pooler: bool = Field(
        default=False,
        description="whether the database is reached through a pooler in transaction mode: then "
        "statements are not prepared, and NOTIFY is not used",
    )
    workers: int = Field(
        default=8,
        ge=0,
        le=10_000,
        description="how many orders are processed at once; with 0 they are only accepted",
    )
    handler: str = Field(
        default="orderintake_server.handlers:simulate",
        description="package.module:callable that processes an order, async or sync",
    )
    queue_limit: int = Field(
        default=1_000_000,
        ge=1,
        description="how many orders may wait; any more are refused with QUEUE_FULL",
    )
    vip_reserve: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the queue limit that regular orders leave free for VIP ones",
    )
    customer_queue_limit: int = Field(
        default=0,
        ge=0,
        description="how many orders of one customer may wait; 0 for any number",
    )
    customer_rate: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="orders a second that one customer may place; 0 for any number",
    )
    customer_burst: int = Field(
        default=100,
        ge=1,
        description="orders that one customer may place at once, where customer_rate is set",
    )
    vip_head_start: float = Field(
        default=0.0,
        ge=0,
        le=31_536_000,
        allow_inf_nan=False,
        description="seconds: a regular order is overtaken only by VIP orders accepted within this "
        "time after it; 0 for strict priority, VIP always first",
    )
    max_attempts: int = Field(
        default=5,
        ge=1,
        le=1_000,
        description="how many attempts an order gets before it is FAILED",
    )
    retry_delay: float = Field(
        default=1.0,
        ge=0,
        le=LONGEST_SECONDS,
        allow_inf_nan=False,
        description="largest delay before the second attempt, in seconds: delays are random, up to "
        "this",
    )
    retry_factor: float = Field(
        default=2.0,
        ge=1,
        le=100,
        description="factor by which the largest delay grows with each further attempt",
    )
    retry_delay_limit: float = Field(
        default=300.0,
        ge=0,
        le=LONGEST_SECONDS,
        allow_inf_nan=False,
        description="largest delay before any attempt, in seconds",
    )
    attempt_timeout: float = Field(
        default=0.0,
        ge=0,
        le=LONGEST_SECONDS,
        allow_inf_nan=False,
        description="seconds that one attempt may take; after that it is cancelled and has failed; "
        "0 for no limit",
    )
    max_crashes: int = Field(
        default=3,
        ge=1,
        le=1_000,
        description="an order is quarantined when the process died this many times during its "
        "attempts",
    )
    retention: float = Field(
        default=0.0,
        ge=0,
        le=LONGEST_SECONDS,
        allow_inf_nan=False,
        description="seconds that an order and its completion are kept after its end; 0 for ever",
    )
    request_id_retention: float = Field(
        default=0.0,
        ge=0,
        le=LONGEST_SECONDS,
        allow_inf_nan=False,
        description="seconds that an order's request_id is kept after its end; 0 for ever, else no "
        "shorter than retention",
    )
    subscriber_timeout: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="seconds that a completion stream waits for a subscriber that reads nothing; "
        "then it ends with SUBSCRIBER_TOO_SLOW, and the subscriber resumes from its cursor",
    )
    max_connection_age: float = Field(
        default=0.0,
        ge=0,
        le=LONGEST_SECONDS / 1000,
        allow_inf_nan=False,
        description="seconds, 10 % more or less, after which a client's connection is closed, so "
        "that the client connects anew, perhaps to another server; 0 for never",
    )
    drain_timeout: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="seconds that running orders have to finish when the server stops",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="format of the log on standard error"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="lowest level of the log entries to write"
    )
    config: Path | None = Field(
        default=None, description="TOML file with settings; it cannot hold this setting"
    )

    @model_validator(mode="after")
    def _check_retention(self) -> Self:
        if 0 < self.request_id_retention < self.retention:
            raise ValueError("request_id_retention must be 0 or no shorter than retention")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the constructor's arguments, then the environment, then the file."""
        file = TomlConfigSettingsSource(settings_cls)
        if "config" in file.toml_data:
            raise ValueError("a file cannot name another one by the key config")
        return init_settings, env_settings, file


def read(arguments: list[str]) -> Settings:
    """Read the settings for these command line arguments.

    Raises StartupFailed, which names every bad setting; SystemExit for --help and for bad usage.
    """
    path = _config_path(arguments)

    class SettingsOfFile(Settings, toml_file=path):
        __doc__ = Settings.__doc__

    try:
        if path is not None and not path.is_file():
            raise StartupFailed(f"config: there is no file {path}")
        return SettingsOfFile(_cli_parse_args=arguments)
    except ValidationError as error:
        raise StartupFailed(explained(error)) from None
    except (OSError, ValueError) as error:  # the file cannot be read, or is not TOML
        raise StartupFailed(f"config: {path}: {error}") from None


def _config_path(arguments: list[str]) -> Path | None:
    """Return the path of the TOML file: it must be known before the other settings are read."""
    parser = argparse.ArgumentParser("orderintake-server", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", default=os.environ.get("ORDERINTAKE_CONFIG"))
    path = parser.parse_known_args(arguments)[0].config
    return Path(path) if path else None


def explained(error: ValidationError) -> str:
    """Return a text that names every bad setting and what is wrong with it."""
    return "; ".join(
        f"{'.'.join(map(str, bad['loc']))}: {bad['msg']}{_shown(bad['loc'], bad['input'])}"
        for bad in error.errors()
    )


def _shown(path: tuple[int | str, ...], value: object) -> str:
    """Show a bad value, unless there may be a password in it."""
    return "" if {"store", "from", "to"} & set(path) else f" (it is {value!r})"
