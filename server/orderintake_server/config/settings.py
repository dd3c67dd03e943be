"""The settings: each with its type, its limits, its default and a description."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from orderintake_server.config.values import Database, Directory, File, Listen, ListenOrNot
from orderintake_server.domain import LONGEST_SECONDS

PREFIX = "ORDERINTAKE_"
"""What the name of every variable begins with."""


class Settings(BaseSettings):
    """Durable, VIP-first order intake over gRPC.

    Each setting can be given as the flag shown, as the environment variable shown, or as a key of
    the TOML file that --config names: --queue-limit, ORDERINTAKE_QUEUE_LIMIT or queue_limit.
    A flag wins over a variable, and a variable over the file.

    Other commands: orderintake-server audit, backup, migrate, copy and servers, each with --help;
    and --version.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        cli_prog_name="orderintake-server",
        cli_kebab_case=True,
        cli_show_env_vars=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    listen: Listen = Field(
        default="127.0.0.1:50051",
        description="HOST:PORT to serve on; port 0 means a free port, which the log names",
    )
    http: ListenOrNot = Field(
        default="",
        description="HOST:PORT to serve /metrics, /healthz and /readyz on by HTTP; empty for none; "
        "port 0 means a free port, which the log names",
    )
    data: Directory = Field(
        default=Path("data"),
        description="directory of the store, made if missing; only one server at a time may use it",
    )
    store: Database = Field(
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
    lifespan: str = Field(
        default="",
        description="package.module:callable that gives a context manager, entered before the "
        "first order and left after the last; its value is order.resources",
    )
    exception_text: bool = Field(
        default=False, description="whether subscribers are told the text of a handler's exceptions"
    )
    stuck_attempts: int = Field(
        default=32, ge=0, description="threads that hang in a handler and are replaced"
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
    config: File | None = Field(
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
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the constructor's arguments, then the environment, then the file.

        An empty variable is as none; an empty flag is a value.
        """
        file = TomlConfigSettingsSource(settings_cls)
        if "config" in file.toml_data:
            raise ValueError("a file cannot name another one by the key config")
        return init_settings, EnvSettingsSource(settings_cls, env_ignore_empty=True), file
