"""The failures that have a name, each with its reason and the data that its receiver needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """Why the service refuses a call: the contract's ErrorReason, with the same names."""

    INVALID_ORDER = "INVALID_ORDER"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    QUEUE_FULL = "QUEUE_FULL"
    DRAINING = "DRAINING"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    CUSTOMER_QUOTA = "CUSTOMER_QUOTA"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    ORDER_NOT_REDRIVABLE = "ORDER_NOT_REDRIVABLE"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    CURSOR_AHEAD = "CURSOR_AHEAD"
    CURSOR_OTHER_LOG = "CURSOR_OTHER_LOG"
    CURSOR_INVALID = "CURSOR_INVALID"
    SUBSCRIBER_TOO_SLOW = "SUBSCRIBER_TOO_SLOW"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    REQUEST_TOO_SLOW = "REQUEST_TOO_SLOW"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    NOT_ALLOWED = "NOT_ALLOWED"
    METHOD_UNKNOWN = "METHOD_UNKNOWN"
    LEASE_INVALID = "LEASE_INVALID"
    WORKER_LIMIT = "WORKER_LIMIT"
    INTERNAL = "INTERNAL"


class Refusal(Exception):
    """The service refuses a call. Nothing was stored, unless the subclass says otherwise."""

    reason: Reason

    def __init__(self, text: str) -> None:
        """Keep `text`, which is shown to the caller; programs match on `reason`."""
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """One bad field of a request: its path and what is wrong with it."""

    field: str
    description: str


class InvalidOrder(Refusal):
    """Fields of the request are bad; `violations` names each of them."""

    reason = Reason.INVALID_ORDER

    def __init__(
        self, violations: tuple[FieldViolation, ...], *, is_malformed: bool = False
    ) -> None:
        """Refuse because of these violations; there is at least one.

        `is_malformed`: the bytes of the request are not even the method's message.
        """
        first, more = violations[0], len(violations) - 1
        text = f"{first.field}: {first.description}" if first.field else first.description
        super().__init__(f"{text} (and {more} more)" if more else text)
        self.violations = violations
        self.is_malformed = is_malformed


class RequestIdReused(Refusal):
    """The customer's request_id already names an order with other content."""

    reason = Reason.REQUEST_ID_REUSED

    def __init__(
        self,
        *,
        request_id: str,
        accept_sequence: int,
        used_for: str = "an order with other content",
    ) -> None:
        """Refuse, and name the order that has the request_id, or that was changed by its call."""
        super().__init__(f"request_id {request_id!r} was used for {used_for}")
        self.accept_sequence = accept_sequence


class Unavailable(Refusal):
    """The request is refused for now; it may succeed after `retry_after` seconds."""

    def __init__(self, text: str, *, retry_after: float = 1.0) -> None:
        """Refuse until about `retry_after` seconds from now."""
        super().__init__(text)
        self.retry_after = retry_after


class QueueFull(Unavailable):
    """The queue is full: no more orders may wait."""

    reason = Reason.QUEUE_FULL


class Draining(Unavailable):
    """The service is stopping."""

    reason = Reason.DRAINING


class StorageUnavailable(Unavailable):
    """The store cannot write now. Only a repeat shows whether the order was stored."""

    reason = Reason.STORAGE_UNAVAILABLE


class RequestTooSlow(Unavailable):
    """The request did not arrive in time."""

    reason = Reason.REQUEST_TOO_SLOW


class CustomerQuota(Refusal):
    """A customer has too many orders: `subject` names it, `retry_after` is in seconds."""

    reason = Reason.CUSTOMER_QUOTA

    def __init__(self, text: str, *, subject: str, retry_after: float) -> None:
        """Refuse until about `retry_after` seconds from now."""
        super().__init__(text)
        self.subject = subject
        self.retry_after = retry_after


class OrderNotFound(Refusal):
    """There is no such order in this store."""

    reason = Reason.ORDER_NOT_FOUND


class OrderNotRedrivable(Refusal):
    """The order has not ended, or it succeeded."""

    reason = Reason.ORDER_NOT_REDRIVABLE


class CursorExpired(Refusal):
    """Completions after the cursor have been pruned, up to sequence `earliest`."""

    reason = Reason.CURSOR_EXPIRED

    def __init__(self, *, earliest: int) -> None:
        """Refuse, and name the sequence after which the log can still be read."""
        super().__init__("completions after the cursor have been pruned")
        self.earliest = earliest


class CursorAhead(Refusal):
    """The cursor is ahead of the head of the log."""

    reason = Reason.CURSOR_AHEAD


class CursorOtherLog(Refusal):
    """The cursor belongs to another log."""

    reason = Reason.CURSOR_OTHER_LOG


class CursorInvalid(Refusal):
    """The text is not a cursor."""

    reason = Reason.CURSOR_INVALID


class SubscriberTooSlow(Refusal):
    """The caller no longer reads its stream."""

    reason = Reason.SUBSCRIBER_TOO_SLOW


class TooManyStreams(Refusal):
    """There are as many streams of a kind as there may be; look again after `retry_after` s."""

    reason = Reason.TOO_MANY_STREAMS
    retry_after = 5.0


class LeaseInvalid(Refusal):
    """The text is not a lease of this log; nothing of the call was done."""

    reason = Reason.LEASE_INVALID


class WorkerLimit(Refusal):
    """There are as many workers, or waiting calls of one, as there may be; look again later."""

    reason = Reason.WORKER_LIMIT
    retry_after = 5.0


class Problem(Enum):
    """What a caller is told of its credentials: the contract's names, each with its text."""

    MISSING = "this call needs credentials: authorization: Bearer KEY"
    INVALID = "the credentials are not valid"
    EXPIRED = "the credentials have ended"


class Unauthenticated(Refusal):
    """It is not known who calls."""

    reason = Reason.UNAUTHENTICATED

    def __init__(self, problem: Problem) -> None:
        """Refuse; which check the credentials failed is for the log only."""
        super().__init__(problem.value)
        self.problem = problem


class NotAllowed(Refusal):
    """The caller is known, and may not do this: it `needs` a role, or a customer."""

    reason = Reason.NOT_ALLOWED

    def __init__(self, text: str, *, needs: str) -> None:
        """Refuse, and name what the caller lacks."""
        super().__init__(text)
        self.needs = needs


class MethodUnknown(Refusal):
    """There is no such method here."""

    reason = Reason.METHOD_UNKNOWN


class StoreError(Exception):
    """An error of the store; its class says whose fault it is, and so what happens next."""


class StoreRefused(StoreError):
    """The store does not take this change because of what is in it; nothing of it was stored.

    Other changes go on. It is also the class of every error for which there is no better one.
    """


class StoreObstacle(StoreError):
    """The store cannot take any change for now; the same may be tried again. `told` to callers."""

    told: str


class StoreFull(StoreObstacle):
    """The disk is full: nothing of the change was stored."""

    told = "the disk is full"


class StoreBusy(StoreObstacle):
    """The store lacks memory, a descriptor or a lock for now: nothing of the change was stored."""

    told = "the store lacks a resource"


class StoreAway(StoreObstacle):
    """The store cannot be reached: the change may or may not have been stored."""

    told = "the store is away"


class StoreBroken(StoreError):
    """The store cannot continue: the process must end; what was acknowledged is safe."""


class StoreGone(StoreBroken):
    """The store's files were removed or replaced: what was acknowledged went with them."""


class StartupFailed(Exception):
    """The service cannot start; the text tells an operator why, and what to do."""
