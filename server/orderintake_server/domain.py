"""What an order is, and the one life it can lead."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cached_property
from typing import NamedTuple

LONGEST_SECONDS = 3_155_760_000
"""A hundred years: nobody waits longer, and a time so far off still fits in a store's integer."""


class Tier(IntEnum):
    """How urgent an order is; numbered as in the contract."""

    REGULAR = 1
    VIP = 2


class State(IntEnum):
    """Where an order stands; numbered as in the contract."""

    QUEUED = 1
    SCHEDULED = 2
    PROCESSING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6
    EXPIRED = 7


class Event(Enum):
    """What can happen to an order."""

    FALL_DUE = "the time it waited for has come"
    CLAIM = "a worker takes it"
    SUCCEED = "its handler returns"
    RETRY = "its handler raises, and may try again"
    FAIL = "its handler raises for the last time"
    RELEASE = "a shutdown interrupts its attempt"
    RECOVER = "the process died during its attempt"
    QUARANTINE = "the process died during its attempts once too often"
    CANCEL = "it is cancelled, or heeds a request to stop"
    EXPIRE = "its time is over"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.SCHEDULED, Event.FALL_DUE): State.QUEUED,
    (State.SCHEDULED, Event.CANCEL): State.CANCELLED,
    (State.SCHEDULED, Event.EXPIRE): State.EXPIRED,
    (State.QUEUED, Event.CLAIM): State.PROCESSING,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.EXPIRE): State.EXPIRED,
    (State.PROCESSING, Event.SUCCEED): State.SUCCEEDED,
    (State.PROCESSING, Event.RETRY): State.SCHEDULED,
    (State.PROCESSING, Event.FAIL): State.FAILED,
    (State.PROCESSING, Event.RELEASE): State.QUEUED,
    (State.PROCESSING, Event.RECOVER): State.QUEUED,
    (State.PROCESSING, Event.QUARANTINE): State.FAILED,
    (State.PROCESSING, Event.CANCEL): State.CANCELLED,
}
"""Every change of state there is; whatever is absent is a bug."""

ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED})
REDRIVABLE = ENDED - {State.SUCCEEDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How urgent an order is, once for its whole life: the least rank is first.

    Strict by default: the tier decides, then the place among the accepted (56 bits hold 7e16
    orders). With `vip_head_start`, in microseconds, a VIP order ranks as if it had been accepted so
    much earlier: no regular order is overtaken by a VIP order accepted later than that after it.
    """

    vip_head_start: int | None = None

    def rank(self, tier: Tier, accept_sequence: int, accept_time: int) -> int:
        """Give the rank of an order; equal ranks go by accept sequence."""
        is_regular = tier != Tier.VIP  # SQLite calls this with numbers
        if self.vip_head_start is None:
            return (is_regular << 56) | accept_sequence
        return accept_time + is_regular * self.vip_head_start


@dataclass(frozen=True, kw_only=True)
class NewOrder:
    """An order that somebody asks to be accepted; every field has been checked.

    `content` is the contract's Order with what the caller said of it, encoded; nobody between
    the door and the handler needs to open it. Times are microseconds since 1970, 0 for none.
    """

    customer_id: str
    request_id: str | None
    tier: Tier
    content: bytes
    not_before: int = 0
    expire_time: int = 0
    redrive_of: int = 0

    @cached_property
    def digest(self) -> bytes:
        """What tells equal content from other content: 16 bytes of BLAKE2b."""
        times = (
            b""
            if self.not_before == self.expire_time == 0
            else _TIMES.pack(self.not_before, self.expire_time)
        )
        return hashlib.blake2b(self.content + times, digest_size=16).digest()


_TIMES = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An accepted order as it stands. Times are microseconds since 1970, 0 when not yet or none."""

    accept_sequence: int
    customer_id: str
    tier: Tier
    content: bytes
    accept_time: int
    state: State
    not_before: int = 0
    expire_time: int = 0
    redrive_of: int = 0
    attempt_count: int = 0
    start_sequence: int = 0
    start_time: int = 0
    complete_time: int = 0


class QueueEntry(NamedTuple):
    """A queued order's place in the queue. Sorts by urgency: no two are equal in the first two."""

    rank: int
    accept_sequence: int
    tier: Tier
    crash_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to end one attempt: good until it is settled, given back or recovered."""

    order: Order
    crash_count: int

    @property
    def tries(self) -> int:
        """How many attempts the handler has had, this one too; those that died are not its own."""
        return self.order.attempt_count - self.crash_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an order failed: `code` for programs, `message` for people.

    What a handler says comes clean and cut: codes of 1 to 64 characters, messages of at most 1024.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of an attempt: how it ended, and with what to show for it.

    `event` is SUCCEED (perhaps with a result, an encoded Any), FAIL (with its failure) or RETRY (to
    be tried again `retry_after` microseconds from now).
    """

    event: Event = Event.SUCCEED
    failure: Failure | None = None
    result: bytes | None = None
    retry_after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The one end of an order, at its place in the completion log."""

    sequence: int
    order: Order
    failure: Failure | None = None
    result: bytes | None = None


class Durability(IntEnum):
    """What was done to keep an order before it was acknowledged; numbered as in the contract."""

    FSYNC = 1
    REPLICATED = 2
    RELAXED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitEstimate:
    """How many seconds from now an order will start: on average, and in four cases of five."""

    mean: float
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof that an order is stored; its completion has a sequence greater than `after`.

    `position` is the order's in the queue, from 1; 0 when it does not wait there. `wait` is how
    long it will wait, where that can be told; a store cannot.
    """

    order: Order
    replayed: bool
    after: int
    position: int = 0
    durability: Durability = Durability.FSYNC
    wait: WaitEstimate | None = None


class CancelOutcome(IntEnum):
    """What became of a request to cancel; numbered as in the contract."""

    CANCELLED = 1
    CANCEL_REQUESTED = 2
    TOO_LATE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The answer to a request to cancel, with the order as it stands now."""

    outcome: CancelOutcome
    stands: Order | Completion


class WaitReason(IntEnum):
    """Why an order waits; numbered as in the contract."""

    ORDERS_AHEAD = 1
    SCHEDULED = 2
    RETRY = 3
    TIER_PAUSED = 4
