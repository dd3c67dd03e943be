"""What is copied when a store moves: the tables that both engines have, and a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orderintake_server.store.actions import COLUMNS

Rows = Sequence[Any]
"""Rows as their engine gives them: the values of a table's columns, in their order. The texts of a
failure are UTF-8."""

CHUNK_ROWS = 1_000
"""Rows that are in memory together, of some 130 KiB at the most: an order and its result."""


class Table(NamedTuple):
    """A table that both engines have, by the same names."""

    name: str
    columns: tuple[str, ...]
    key: str
    """Its rows are read in this order: they are added fastest so."""


TABLES = (
    Table(
        "orders",
        (
            *("accept_sequence", "customer_id", "tier", "rank", "accept_time", "content"),
            *("request_id", "not_before", "expire_time", "redrive_of", "trace"),
        ),
        "accept_sequence",
    ),
    Table(
        "requests",
        (
            *("customer_id", "request_id", "accept_sequence", "digest"),
            *("outcome", "accept_time", "complete_time"),
        ),
        "customer_id, request_id",
    ),
    Table(
        "ready",
        ("tier", "rank", "accept_sequence", "attempt_count", "crash_count"),
        "tier, rank, accept_sequence",
    ),
    Table(
        "scheduled",
        ("accept_sequence", "due_time", "attempt_count", "crash_count"),
        "accept_sequence",
    ),
    Table("expiries", ("expire_time", "accept_sequence"), "expire_time, accept_sequence"),
    Table(
        "starts",
        ("accept_sequence", "start_sequence", "start_time"),
        "accept_sequence, start_sequence",
    ),
    Table(
        "log",
        (
            *("sequence", "accept_sequence", "outcome", "attempt_count"),
            *("start_sequence", "start_time", "complete_time"),
            *("failure_code", "failure_message", "result", "customer_id", "tier", "copy"),
        ),
        "sequence",
    ),
    Table("pauses", ("tier", "time", "is_paused"), "number"),
    Table("operator_actions", COLUMNS, "sequence"),
)
"""What is in process is not copied, nor the workers: a store with workers that live is not copied
at all."""


class Numbers(NamedTuple):
    """What a store keeps beside its tables."""

    log_id: str
    vip_head_start: int | None
    accepted: int
    """The last number given of each kind."""
    started: int
    completed: int
    earliest: int
    """The newest completion that was forgotten."""
    accept_time: int
    """Of the last order, in microseconds since 1970."""
