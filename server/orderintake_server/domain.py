"""What an order is, and the one life it can lead."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cached_property
from typing import NamedTuple


class Tier(IntEnum):
    """How urgent an order is; numbered as in the contract."""

    REGULAR = 1
    VIP = 2


class State(IntEnum):
    """Where an order stands; numbered as in the contract."""

    QUEUED = 1
    PROCESSING = 3
    SUCCEEDED = 4
    FAILED = 5


class Event(Enum):
    """What can happen to an order."""

    CLAIM = "a worker takes it"
    SUCCEED = "its handler returns"
    FAIL = "its handler raises"
    GIVE_BACK = "a shutdown interrupts its attempt"
    RECOVER = "the process died during its attempt"


LIFE: dict[tuple[State, Event], State] = {
    (State.QUEUED, Event.CLAIM): State.PROCESSING,
    (State.PROCESSING, Event.SUCCEED): State.SUCCEEDED,
    (State.PROCESSING, Event.FAIL): State.FAILED,
    (State.PROCESSING, Event.GIVE_BACK): State.QUEUED,
    (State.PROCESSING, Event.RECOVER): State.QUEUED,
}
"""Every change of state there is; whatever is absent is a bug."""


def rank(tier: Tier, accept_sequence: int) -> int:
    """Tell how urgent an order is: the least rank is first, for the whole of its life.

    The tier decides, then the place among the accepted; 56 bits hold 7e16 orders.
    """
    return (int(tier is not Tier.VIP) << 56) | accept_sequence


@dataclass(frozen=True, kw_only=True)
class NewOrder:
    """An order that somebody asks to be accepted; every field has been checked.

    `content` is the contract's Order with what the caller said of it, encoded; nobody between
    the door and the handler needs to open it.
    """

    customer_id: str
    request_id: str | None
    tier: Tier
    content: bytes

    @cached_property
    def digest(self) -> bytes:
        """What tells equal content from other content: 16 bytes of BLAKE2b."""
        return hashlib.blake2b(self.content, digest_size=16).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An accepted order as it stands. Times are microseconds since 1970, 0 when not yet."""

    accept_sequence: int
    tier: Tier
    content: bytes
    accept_time: int
    state: State
    attempt_count: int = 0
    start_sequence: int = 0
    start_time: int = 0
    complete_time: int = 0


class Waiting(NamedTuple):
    """A queued order's place in the queue. Sorts by urgency: no two are equal in the first two."""

    rank: int
    accept_sequence: int
    attempt_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an order failed: `code` for programs, `message` for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of an attempt: a failure, or success with perhaps a result (an encoded Any)."""

    failure: Failure | None = None
    result: bytes | None = None

    @property
    def event(self) -> Event:
        """What this means for the order."""
        return Event.FAIL if self.failure else Event.SUCCEED


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The one end of an order, at its place in the completion log."""

    sequence: int
    order: Order
    ending: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof that an order is stored; its completion comes after place `behind` of the log."""

    order: Order
    replayed: bool
    behind: int
