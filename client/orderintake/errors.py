"""The errors that a caller can meet: one class for each way to react."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from orderintake.status import FieldViolation, Status, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "CompletionGap",
    "ContractBroken",
    "CursorExpired",
    "CursorRejected",
    "CustomerQuota",
    "DeadlineExceeded",
    "FieldViolation",
    "InternalError",
    "InvalidOrder",
    "LeaseInvalid",
    "NotAllowed",
    "OrderIntakeError",
    "OrderNotFound",
    "OrderNotRedrivable",
    "RequestIdReused",
    "SubscriberTooSlow",
    "TooManyStreams",
    "Unauthenticated",
    "Unavailable",
    "WorkerLimit",
]


class OrderIntakeError(Exception):
    """A call failed. Raised itself when no subclass knows more, and base of all that do.

    Match on the class, `code` or `reason`, never on the text.
    """

    def __init__(self, status: Status) -> None:
        """Make the error from the status of the failed call."""
        super().__init__(status)
        self._status = status

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status code."""
        return self._status.code

    @property
    def reason(self) -> str:
        """The name of an ErrorReason, such as "QUEUE_FULL"; "" if the service did not say it."""
        return self._status.reason

    @property
    def message(self) -> str:
        """What happened, as text for people."""
        return self._status.message

    @property
    def metadata(self) -> Mapping[str, str]:
        """The service's further data about the error; see ErrorReason."""
        return self._status.metadata

    def __str__(self) -> str:
        """Return the reason, or else the code, and the message."""
        return f"{self.reason or self.code.name}: {self.message}"


class InvalidOrder(OrderIntakeError):
    """Fields of the request are bad; nothing was stored. Correct them."""

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        """Every bad field, at most 50."""
        return self._status.violations


class RequestIdReused(OrderIntakeError):
    """The customer used this request_id before, with other content; nothing was stored."""

    @property
    def order_id(self) -> str:
        """The order that was placed with this request_id."""
        return self.metadata.get("order_id", "")


class Unavailable(OrderIntakeError):
    """Not now: the queue is full, the server stops, its store fails, or no server answers.

    By `reason`: QUEUE_FULL, DRAINING, STORAGE_UNAVAILABLE, REQUEST_TOO_SLOW (it did not arrive
    within 30 seconds), or "" when no server answers, or one let go of the call: then `code` is
    CANCELLED, though nothing here cancelled it. The automatic retries are used up. An attempt
    whose answer was lost may have stored the order. Placing it again with the same request_id is
    safe, and tells.
    """

    @property
    def retry_after(self) -> float | None:
        """Seconds until another try makes sense, as the server computed; None if it did not."""
        return self._status.retry_after


class CustomerQuota(OrderIntakeError):
    """The customer may have no more orders waiting, or place no more for now; nothing was stored.

    Not retried automatically. Other customers are served: hold back only this one's orders.
    """

    @property
    def retry_after(self) -> float | None:
        """Seconds until another try makes sense, as the server computed; None if it did not."""
        return self._status.retry_after

    @property
    def subject(self) -> str:
        """Whose quota it is, such as "customer:ada"; "" if the server did not say."""
        return self._status.quota_subject


class OrderNotFound(OrderIntakeError):
    """There is no such order here."""


class OrderNotRedrivable(OrderIntakeError):
    """Only an order that failed, was cancelled or expired can be redriven."""


class CursorRejected(OrderIntakeError):
    """The server cannot go on from this cursor; begin from another one.

    By `reason`: CURSOR_INVALID, it is not a cursor, or is damaged; CURSOR_OTHER_LOG, it belongs to
    another server; CURSOR_AHEAD, the server's log was restored from an older copy; CURSOR_EXPIRED,
    see CursorExpired.
    """


class CursorExpired(CursorRejected):
    """Completions after this cursor were pruned: some that were not read are gone."""

    @property
    def earliest_cursor(self) -> str:
        """The first cursor from which the log can still be read."""
        return self.metadata.get("earliest_cursor", "")


class SubscriberTooSlow(OrderIntakeError):
    """The server ended a completion stream because its subscriber read nothing for too long.

    Nothing is missed by a subscriber that resumes from its last cursor. `completions()` does so by
    itself, and only logs a warning.
    """


class TooManyStreams(OrderIntakeError):
    """The server has as many completion streams as it may have at once (`--subscriber-limit`).

    Nothing is missed by a subscriber that comes later with its cursor. A subscription that was
    established before does so by itself.
    """

    @property
    def retry_after(self) -> float | None:
        """Seconds until another try makes sense, as the server says; None if it did not."""
        return self._status.retry_after


class LeaseInvalid(OrderIntakeError):
    """What a worker sent is no lease of this server's log; nothing of its call was done."""


class WorkerLimit(OrderIntakeError):
    """There are as many workers as there may be, or as many waiting calls of one worker."""

    @property
    def retry_after(self) -> float | None:
        """Seconds until another try makes sense, as the server says; None if it did not."""
        return self._status.retry_after


class Unauthenticated(OrderIntakeError):
    """The server does not know who calls: it needs an API key, a token or a certificate."""

    @property
    def problem(self) -> str:
        """MISSING, INVALID or EXPIRED; "" if the server did not say."""
        return self.metadata.get("problem", "")


class NotAllowed(OrderIntakeError):
    """The caller may not do this: its role does not allow it, or the order is another's."""

    @property
    def needs(self) -> str:
        """The role that is missing, or "customer"; "" if the server did not say."""
        return self.metadata.get("needs", "")


class InternalError(OrderIntakeError):
    """The service has a bug. Report it with `incident_id`."""

    @property
    def incident_id(self) -> str:
        """The id by which the server's log names the incident and its cause."""
        return self.metadata.get("incident_id", "")


class DeadlineExceeded(OrderIntakeError):
    """No answer came within the client's `timeout`; whether an order was stored is not known.

    Placing it again with the same request_id is safe, and tells. This error also replaces a
    refusal whose `grpc-retry-pushback-ms` makes grpc wait for its retry until the timeout.
    """


class ContractBroken(OrderIntakeError):
    """An answer is not what the contract promises. Raised by the client; `reason` is ""."""


class CompletionGap(ContractBroken):
    """A completion stream skips or repeats a sequence number: completions may be lost."""

    def __init__(self, expected: int, received: int) -> None:
        """Report that completion `received` came in place of `expected`."""
        message = f"completion {received} came where {expected} had to"
        super().__init__(Status(code=grpc.StatusCode.DATA_LOSS, message=message))
        self.args = (expected, received)  # from which pickle and copy make the error again
        self.expected = expected
        self.received = received


BY_REASON: dict[str, type[OrderIntakeError]] = {
    "INVALID_ORDER": InvalidOrder,
    "REQUEST_ID_REUSED": RequestIdReused,
    "QUEUE_FULL": Unavailable,
    "DRAINING": Unavailable,
    "STORAGE_UNAVAILABLE": Unavailable,
    "CUSTOMER_QUOTA": CustomerQuota,
    "ORDER_NOT_FOUND": OrderNotFound,
    "ORDER_NOT_REDRIVABLE": OrderNotRedrivable,
    "CURSOR_EXPIRED": CursorExpired,
    "CURSOR_AHEAD": CursorRejected,
    "CURSOR_OTHER_LOG": CursorRejected,
    "CURSOR_INVALID": CursorRejected,
    "SUBSCRIBER_TOO_SLOW": SubscriberTooSlow,
    "TOO_MANY_STREAMS": TooManyStreams,
    "REQUEST_TOO_SLOW": Unavailable,
    "UNAUTHENTICATED": Unauthenticated,
    "NOT_ALLOWED": NotAllowed,
    "METHOD_UNKNOWN": OrderIntakeError,
    "LEASE_INVALID": LeaseInvalid,
    "WORKER_LIMIT": WorkerLimit,
    "INTERNAL": InternalError,
}
"""The error that is raised for each reason of the contract."""

_BY_CODE: dict[grpc.StatusCode, type[OrderIntakeError]] = {
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    # By the server, or something on the way: who cancels a call here is not told so by this error.
    grpc.StatusCode.CANCELLED: Unavailable,
}
"""The error that is raised for a code, if the reason is absent or of a newer contract."""


def from_rpc(error: grpc.RpcError) -> OrderIntakeError:
    """Return the error of this module that stands for grpc's."""
    return from_status(status_of(error))


def from_status(status: Status) -> OrderIntakeError:
    """Return the error of this module that a status stands for."""
    by_code = _BY_CODE.get(status.code, OrderIntakeError)
    return BY_REASON.get(status.reason, by_code)(status)


@contextmanager
def translated() -> Iterator[None]:
    """Raise this module's errors instead of grpc's.

    grpc ends a call with CancelledError too when another task closes the client; the task that
    waits was not cancelled then, and is told that the answer is unknown.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc(error) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        closed = Status(code=grpc.StatusCode.CANCELLED, message="the client was closed meanwhile")
        raise Unavailable(closed) from error
