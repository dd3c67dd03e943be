"""What workers say, and what they are told, in the domain's own types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from orderintake.work.outcome import Outcome
    from orderintake_server.domain import Lease, State
    from orderintake_server.holders import Holder, LeaseKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of one attempt."""

    key: LeaseKey
    outcome: Outcome | None
    """None: the attempt was not made, and the order waits again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAsked:
    """One LeaseOrders call; it waits for `wait` seconds at the most, with reports not at all."""

    holder: Holder
    slots: int
    reports: Sequence[Report] = ()
    wait: float = 0.0


@dataclass(slots=True, kw_only=True)
class Leased:
    """The answer: what each report made of its order, and the orders to start."""

    states: Sequence[State | None] = ()
    """None: the lease was lost before."""
    leases: Sequence[Lease] = ()
    is_going_away: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a worker has, as of one moment."""

    held: Sequence[LeaseKey]
    """Every lease whose outcome has not been answered."""
    last_call: int
    open_calls: Collection[int] = ()
    """The calls up to `last_call` that have no answer yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAsked:
    """One KeepLeases call: it waits for news for `wait` seconds at the most."""

    worker_id: str
    name: str | None = None
    """None: as before; so for the capacity."""
    capacity: int | None = None
    is_stopping: bool = False
    inventory: Inventory | None = None
    stops_heard: Collection[LeaseKey] = ()
    wait: float = 0.0


@dataclass(slots=True, kw_only=True)
class News:
    """The answer: the attempts that were asked to stop, and those that are over already."""

    keeps: float
    """So many seconds from the call's arrival all leases are good."""
    stops: list[LeaseKey] = field(default_factory=list)
    lost: list[LeaseKey] = field(default_factory=list)
    is_going_away: bool = False
