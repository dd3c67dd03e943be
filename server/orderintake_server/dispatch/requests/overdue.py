"""Attempts of workers that take longer than they may: they are ended as timed out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.work.outcome import Kind, Outcome
from orderintake_server.dispatch.retries import ending_of
from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Mapping

    from orderintake_server.dispatch.requests.remote import RemoteRequests
    from orderintake_server.dispatch.retries import RetryPolicy
    from orderintake_server.domain import State
    from orderintake_server.holders import LeaseKey

GRACE_SECONDS = 5.0
"""So long after its time-out a worker has to stop an attempt by itself."""

log = get_logger()


class Overruling:
    """Ends attempts for workers that do not heed the time-out, as they would have said."""

    def __init__(self, remote: RemoteRequests, retries: RetryPolicy) -> None:
        """End by reports to `remote` what it is told of."""
        self._remote = remote
        self._retries = retries
        remote.on_overdue = self._overrule

    def _overrule(self, overdue: Mapping[LeaseKey, str]) -> None:
        for key, worker_id in overdue.items():
            answer = self._remote.report(key, ending_of(_TIMED_OUT, key.tries, self._retries))
            answer.add_done_callback(_Told(self._remote, key, worker_id))


class _Told:
    """Tells of an attempt that was ended; what could not be stored is told as overdue again."""

    def __init__(self, remote: RemoteRequests, key: LeaseKey, worker_id: str) -> None:
        self._remote = remote
        self._key = key
        self._worker_id = worker_id

    def __call__(self, answer: Future[State | None]) -> None:
        if answer.cancelled() or answer.exception() or answer.result() is None:
            return
        log.warning(
            "attempt ended for a worker that did not heed its time-out",
            accept_sequence=self._key.accept_sequence,
            attempt=self._key.attempt_count,
            worker=self._worker_id,
        )
        self._remote.on_news((self._worker_id,))


_TIMED_OUT = Outcome(
    kind=Kind.FAILED,
    code="ATTEMPT_TIMEOUT",
    message="the worker did not stop the attempt when its time was over",
)
