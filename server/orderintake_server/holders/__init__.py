"""Who has an order's lease besides this process itself: workers, which are known by their ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.domain import Lease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import Order, State, Tier


@dataclass(frozen=True, slots=True)
class Holder:
    """The worker that was given an order, and the number of the call that was answered with it."""

    worker_id: str
    call: int
    """0: a call that cannot be repeated."""
    name: str | None = field(default=None, compare=False)
    """What the call says of the worker; None: nothing, so also for the capacity."""
    capacity: int | None = field(default=None, compare=False)


class LeaseKey(NamedTuple):
    """What a lease says of itself: enough to end its attempt, from no memory."""

    accept_sequence: int
    start_sequence: int
    """Of this attempt, and of no other."""
    tier: Tier
    attempt_count: int
    crash_count: int

    @property
    def tries(self) -> int:
        """How many attempts the handler has had, with this one, without those that crashed."""
        return self.attempt_count - self.crash_count


@dataclass(slots=True, kw_only=True)
class LentLease(Lease):
    """The lease of an attempt that a worker makes, not this process itself."""

    holder: Holder


def lease_of(order: Order, crash_count: int, holder: Holder | None) -> Lease:
    """Make the lease of an attempt; without a holder this process makes it itself."""
    if holder is None:
        return Lease(order=order, crash_count=crash_count)
    return LentLease(order=order, crash_count=crash_count, holder=holder)


def key_of(lease: Lease) -> LeaseKey:
    """Return what the text of this lease says."""
    order = lease.order
    return LeaseKey(
        order.accept_sequence,
        order.start_sequence,
        order.tier,
        order.attempt_count,
        lease.crash_count,
    )


class HeldLease(NamedTuple):
    """A lease that a worker has."""

    key: LeaseKey
    call: int
    """By which call it got it."""
    start_time: int
    """Microseconds since 1970."""
    is_cancel_requested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """What a store knows of a worker. Times are microseconds since 1970."""

    worker_id: str
    name: str = ""
    capacity: int = 0
    """How many slots it has in all."""
    since: int
    """When it was first heard of."""
    heard: int = 0
    """When it was last heard, as far as the store knows that; 0: it does not."""
    is_local: bool = False
    """Whether it is supervised by a server, and ends with that."""
    is_stopping: bool = False
    """Whether it takes nothing any more."""
    is_ended: bool = False
    """Whether it is remembered only so that late calls are given nothing."""
    leases: Sequence[HeldLease] = ()
    """In the order of their starts."""


class TakenBack(NamedTuple):
    """A lease that was taken from a worker."""

    key: LeaseKey
    """As it was; a crash that is counted by this is not in it."""
    state: State
    """What became of its order: QUEUED, FAILED (it is quarantined) or CANCELLED."""
