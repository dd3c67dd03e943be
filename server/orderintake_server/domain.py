"""What an order is, its states, and every change of state that is allowed.

What is made for each order is not frozen, which takes three times as long to make; yet nobody
changes it. It is made by position there, for by name that takes twice as long.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

LONG_PAST = 1
"""Microseconds since 1970: every time at or before that is taken as this one, for 0 means none."""
LONGEST_SECONDS = 3_155_760_000
"""A hundred years: longer than any real wait, and such a time still fits in a store's integer."""


class Tier(IntEnum):
    """How urgent an order is; numbered as in the contract."""

    REGULAR = 1
    VIP = 2
    __hash__ = int.__hash__  # that of an Enum is a function of Python


class State(IntEnum):
    """An order's state; numbered as in the contract."""

    QUEUED = 1
    SCHEDULED = 2
    PROCESSING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6
    EXPIRED = 7
    __hash__ = int.__hash__


class Event(Enum):
    """What can happen to an order."""

    FALL_DUE = "the time that it waited for has come"
    CLAIM = "a worker starts it"
    SUCCEED = "its handler returned"
    RETRY = "its attempt failed, and there will be another"
    FAIL = "its last attempt failed"
    RELEASE = "a shutdown interrupted its attempt"
    RECOVER = "the process died during its attempt"
    QUARANTINE = "the process died too often during its attempts"
    CANCEL = "it was cancelled while it waited, or its handler stopped when asked to"
    EXPIRE = "its expire_time came while it waited"
    __hash__ = object.__hash__


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
"""Every change of state that is allowed; a pair that is not here is a bug."""

ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED})
REDRIVABLE = ENDED - {State.SUCCEEDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How urgent an order is, fixed for its whole life: the lowest rank is first.

    Strict by default: the tier decides, then the accept sequence (56 bits hold 7e16 orders). With
    `vip_head_start`, in microseconds, a VIP order ranks as if it had been accepted that much
    earlier. So a VIP order overtakes only regular orders accepted at most that long before it.
    """

    vip_head_start: int | None = None

    @property
    def is_strict(self) -> bool:
        """Whether a new order comes after all others of its tier, and of the tiers above."""
        return self.vip_head_start is None

    def rank(self, tier: Tier, accept_sequence: int, accept_time: int) -> int:
        """Return the rank of an order; the accept sequence decides between equal ranks."""
        is_regular = tier != Tier.VIP  # SQLite calls this with plain numbers
        if self.vip_head_start is None:
            return (is_regular << 56) | accept_sequence
        return accept_time + is_regular * self.vip_head_start


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who asks for a change as an operator: what is recorded with it."""

    name: str
    """The caller's name, of printable characters only."""
    credential: str
    """By what it was identified: a Credential, by its value."""
    peer: str  # from where it called, as the transport names it
    own: str | None = None
    """The customer whose orders it cancels as that customer: then nothing is recorded."""
    request_id: str = ""  # of the call by which it changes many orders at once
    until: int = 0  # where that call's list ends: a repeat of it goes on no further


class Action(IntEnum):
    """What an operator can do that is recorded; numbered as in the contract."""

    PAUSE_TIER = 1
    RESUME_TIER = 2
    REDRIVE_ORDER = 3
    CANCEL_ORDER = 4


@dataclass(slots=True)
class NewOrder:
    """An order that a caller wants accepted; every field has been checked.

    `content` is the contract's Order, encoded, with the fields that the caller set. No code between
    `api/requests` and the handler needs to decode it. Times are microseconds since 1970, 0 for
    none.
    """

    customer_id: str
    request_id: str | None
    tier: Tier
    content: bytes
    not_before: int = 0
    expire_time: int = 0
    redrive_of: int = 0
    trace: bytes | None = None
    """The trace context in which it is placed, see `traces`."""
    by: Operator | None = None
    """The operator who redrives, for the record; it is no part of the order."""

    @property
    def digest(self) -> bytes:
        """A digest that is equal only for equal content: 16 bytes of BLAKE2b.

        The trace is not in it: a repeat of the same order has another.
        """
        times = (
            b""
            if self.not_before == self.expire_time == 0
            else _TIMES.pack(self.not_before, self.expire_time)
        )
        return hashlib.blake2b(self.content + times, digest_size=16).digest()


_TIMES = struct.Struct(">QQ")


@dataclass(slots=True, kw_only=True)
class Order:
    """An accepted order in its present state.

    Times are microseconds since 1970; 0 for none, or not yet.
    """

    accept_sequence: int
    customer_id: str
    tier: Tier
    content: bytes
    accept_time: int
    state: State
    not_before: int = 0
    expire_time: int = 0
    redrive_of: int = 0
    trace: bytes | None = None
    attempt_count: int = 0
    start_sequence: int = 0
    start_time: int = 0
    complete_time: int = 0


class QueueEntry(NamedTuple):
    """A queued order's entry in the queue.

    Entries sort by urgency: by rank, then accept sequence, which no two of them share.
    """

    rank: int
    accept_sequence: int
    tier: Tier
    crash_count: int


@dataclass(slots=True, kw_only=True)
class Lease:
    """The right to end one attempt; valid until that is settled, released or recovered."""

    order: Order
    crash_count: int

    @property
    def tries(self) -> int:
        """How many attempts the handler has had, with this one, without those that crashed."""
        return self.order.attempt_count - self.crash_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an order failed: `code` for programs, `message` for people.

    What a handler says comes clean and cut: codes of 1 to 64 characters, messages of at most 1024.
    """

    code: str
    message: str


@dataclass(slots=True, kw_only=True)
class Ending:
    """How an attempt ended.

    `event` is SUCCEED (`result` may be an encoded Any), FAIL (`failure` says why) or RETRY (the
    next attempt may start `retry_after` microseconds from now).
    """

    event: Event = Event.SUCCEED
    failure: Failure | None = None
    result: bytes | None = None
    retry_after: int = 0


@dataclass(slots=True, kw_only=True)
class Completion:
    """How an order ended: its one entry in the completion log, numbered by `sequence`."""

    sequence: int
    order: Order
    failure: Failure | None = None
    result: bytes | None = None

    @property
    def customer_id(self) -> str:
        """Whose order it was."""
        return self.order.customer_id


class Durability(IntEnum):
    """How safely an order was stored before it was acknowledged; numbered as in the contract."""

    FSYNC = 1
    REPLICATED = 2
    RELAXED = 3


@dataclass(slots=True)
class WaitEstimate:
    """In how many seconds an order will start: `mean`, and `least` to `most` in 4 cases of 5."""

    mean: float
    least: float
    most: float


@dataclass(slots=True, kw_only=True)
class Receipt:
    """Proof that an order is stored; its completion has a sequence greater than `after`.

    `position` is the order's position in the queue, from 1, at the moment at which it stood as
    `order` says; 0 when it was not in the queue, None when its position is not known. `wait`
    is the mean of the seconds it will wait; None when not known. A store never sets it.
    """

    order: Order
    replayed: bool
    after: int
    position: int | None = 0
    durability: Durability = Durability.FSYNC
    wait: float | None = None


class CancelOutcome(IntEnum):
    """The outcome of a request to cancel; numbered as in the contract."""

    CANCELLED = 1
    CANCEL_REQUESTED = 2
    TOO_LATE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The answer to a request to cancel; `stands` is the order, or its completion if it ended."""

    outcome: CancelOutcome
    stands: Order | Completion
