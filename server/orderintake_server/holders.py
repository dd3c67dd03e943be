"""Who has an order's lease besides this process itself: workers, which are known by their ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from orderintake_server.domain import Tier


@dataclass(frozen=True, slots=True)
class Holder:
    """The worker that was given an order, and the number of the call that was answered with it."""

    worker_id: str
    call: int
    """0: a call that cannot be repeated."""


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
