"""The settings of workers: what processes orders, how many at once, and in which processes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orderintake_server.config.sources import Sourced
from orderintake_server.config.values import Callable, Count, Seconds, Switch, Word


class Workers(Sourced):
    """How orders are processed."""

    workers: Count = Field(
        default=8,
        ge=0,
        le=10_000,
        description="how many orders are processed at once; with 0 they are only accepted",
    )
    handler: Callable = Field(
        default="orderintake_server.handlers:simulate",
        description="what processes an order, async or sync",
    )
    lifespan: Callable = Field(
        default="",
        description="what gives a context manager, entered before the first order and left after "
        "the last; its value is order.resources",
    )
    exception_text: Switch = Field(
        default=False, description="whether subscribers are told the text of a handler's exceptions"
    )
    worker_processes: Count = Field(
        default=0,
        ge=0,
        le=1_000,
        description="in how many processes of their own, which share the workers out, orders are "
        "processed; 0 for none: in the server's own",
    )
    worker_scheduling: Annotated[Literal["normal", "idle"], Word("normal|idle")] = Field(
        default="normal",
        description="what the system's scheduler gives those processes: normal, a third of the "
        "server's weight; idle, the time that no other program wants",
    )
    worker_lease: Seconds = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="how long a worker in a process of its own may be silent before it is taken "
        "for dead; at least twice the lease, where servers share a database",
    )
    worker_limit: Count = Field(
        default=1_000,
        ge=1,
        le=100_000,
        description="how many such workers there may be; any more are refused with WORKER_LIMIT",
    )
    stuck_attempts: Count = Field(
        default=32,
        ge=0,
        le=10_000,
        description="how many threads that hang in a handler are replaced",
    )
