"""The settings: each with its type, its limits, its default and a description."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from orderintake_server.config.callers import CallerSettings
from orderintake_server.config.connections import Connections, HttpConnections, Transport
from orderintake_server.config.sources import Sourced
from orderintake_server.config.values import (
    Count,
    Database,
    Directory,
    Factor,
    File,
    Listen,
    ListenOrNot,
    Orders,
    Rate,
    Seconds,
    Share,
    Switch,
    Word,
)
from orderintake_server.config.workers import Workers
from orderintake_server.domain import LONGEST_SECONDS

_Level = Literal["debug", "info", "warning", "error"]
MOST_ORDERS = 1_000_000_000_000
"""The largest limit that counts orders: more than any store holds, and exact as any number."""


class _Place(Sourced):
    """Where it serves, and where orders are stored."""

    listen: Listen = Field(
        default=("127.0.0.1:50051",),
        description="where to serve; port 0 means a free port, which the log names; may be given "
        "more than once, and hold several with commas between them",
    )
    http: ListenOrNot = Field(
        default="",
        description="where to serve by HTTP: the board, all calls, /metrics, /healthz and /readyz; "
        "empty for nowhere",
    )
    data: Directory = Field(
        default=Path("data"),
        description="directory of the store, made if missing; only one server at a time may use it",
    )
    store: Database = Field(
        default="",
        description="a database in place of a directory: any number of servers use it together",
        repr=False,
    )


class _Sharing(Sourced):
    """Servers that use a database together."""

    replica: str = Field(
        default="",
        description="name of this server among those that use the database; by default host:pid",
    )
    lease: Seconds = Field(
        default=15.0,
        ge=0.3,
        le=3600,
        description="how long a server may be silent before others take over the orders that it "
        "had in process",
    )
    notify: Switch = Field(
        default=True,
        description="whether servers notify each other of changes, by LISTEN and NOTIFY; if not, "
        "each polls the database every 5 to 100 ms",
    )
    pooler: Switch = Field(
        default=False,
        description="whether the database is reached through a pooler in transaction mode: then "
        "statements are not prepared, and NOTIFY is not used",
    )


class _Waiting(Sourced):
    """How many orders may wait, and which start first."""

    queue_limit: Orders = Field(
        default=1_000_000,
        ge=1,
        le=MOST_ORDERS,
        description="how many orders may wait; any more are refused with QUEUE_FULL",
    )
    vip_reserve: Share = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the queue limit that regular orders leave free for VIP ones",
    )
    customer_queue_limit: Orders = Field(
        default=0,
        ge=0,
        le=MOST_ORDERS,
        description="how many orders of one customer may wait; 0 for any number",
    )
    customer_rate: Rate = Field(
        default=0.0,
        ge=0,
        le=MOST_ORDERS,
        description="how fast one customer may place orders; 0 for as fast as it likes",
    )
    customer_burst: Orders = Field(
        default=100,
        ge=1,
        le=MOST_ORDERS,
        description="how many orders one customer may place at once, where customer_rate is set",
    )
    vip_head_start: Seconds = Field(
        default=0.0,
        ge=0,
        le=31_536_000,
        description="a regular order is overtaken only by VIP orders accepted within this time "
        "after it; 0 for strict priority, VIP always first",
    )


class _Attempts(Sourced):
    """How often an order is tried."""

    max_attempts: Count = Field(
        default=5,
        ge=1,
        le=1_000,
        description="how many attempts an order gets before it is FAILED",
    )
    retry_delay: Seconds = Field(
        default=1.0,
        ge=0,
        le=LONGEST_SECONDS,
        description="largest delay before the second attempt: delays are random, up to this",
    )
    retry_factor: Factor = Field(
        default=2.0,
        ge=1,
        le=100,
        description="factor by which the largest delay grows with each further attempt",
    )
    retry_delay_limit: Seconds = Field(
        default=300.0,
        ge=0,
        le=LONGEST_SECONDS,
        description="largest delay before any attempt",
    )
    attempt_timeout: Seconds = Field(
        default=0.0,
        ge=0,
        le=LONGEST_SECONDS,
        description="how long one attempt may take; after that it is cancelled and has failed; "
        "0 for no limit",
    )
    max_crashes: Count = Field(
        default=3,
        ge=1,
        le=1_000,
        description="an order is quarantined when the process died this many times during its "
        "attempts",
    )


class _Retention(Sourced):
    """How long orders are kept after their end."""

    retention: Seconds = Field(
        default=0.0,
        ge=0,
        le=LONGEST_SECONDS,
        description="how long an order and its completion are kept after its end; 0 for ever",
    )
    request_id_retention: Seconds = Field(
        default=0.0,
        ge=0,
        le=LONGEST_SECONDS,
        description="how long an order's request_id is kept after its end; 0 for ever, else no "
        "shorter than retention",
    )


class _Process(Sourced):
    """The process, its log and its file of settings."""

    drain_timeout: Seconds = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="how long running orders have to finish when the server stops",
    )
    log_format: Annotated[Literal["text", "json"], Word("text|json")] = Field(
        default="text", description="format of the log on standard error"
    )
    log_level: Annotated[_Level, Word("debug|info|warning|error")] = Field(
        default="info", description="lowest level of the log entries to write"
    )
    access_log: Annotated[Literal[_Level, "off"], Word("debug|info|warning|error|off")] = Field(
        default="debug", description="level of the one log entry that each call has; off for none"
    )
    config: Annotated[File | None, Word("FILE")] = Field(
        default=None, description="TOML file with settings; it cannot hold this setting"
    )


class Settings(  # in the order in which --help tells them
    _Place,
    _Sharing,
    Workers,
    _Waiting,
    _Attempts,
    _Retention,
    Connections,
    HttpConnections,
    Transport,
    CallerSettings,
    _Process,
):
    """Durable, VIP-first order intake over gRPC: serves until SIGTERM or Ctrl-C.

    Each setting can be given as the flag shown, as the environment variable
    shown, or as a key of the TOML file that --config names: --queue-limit,
    ORDERINTAKE_QUEUE_LIMIT or queue_limit. A flag wins over a variable, and a
    variable over the file.
    """

    @property
    def own_workers(self) -> int:
        """How many orders are processed at once in the server's own process."""
        return 0 if self.worker_processes else self.workers

    @model_validator(mode="after")
    def _check_retention(self) -> Self:
        if 0 < self.request_id_retention < self.retention:
            raise ValueError("request_id_retention must be 0 or no shorter than retention")
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: give both or neither")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca needs tls_cert and tls_key")
        return self
