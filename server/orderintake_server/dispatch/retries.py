"""What an attempt comes to: whether it is followed by another, and when."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake.work.outcome import Kind
from orderintake_server.domain import Ending, Event, Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake.work.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter: the n-th delay is random, up to first * factor**(n-1).

    Full jitter spreads the retries of orders that failed at the same time over the whole delay.
    """

    max_attempts: int = 5
    first_seconds: float = 1.0
    factor: float = 2.0
    most_seconds: float = 300.0

    def delay_seconds(self, tries: int, random: Callable[[], float]) -> float | None:
        """Return how long to wait after `tries` failed attempts; None: no more attempts.

        `random` returns a number from 0 to 1.
        """
        if tries >= self.max_attempts:
            return None
        return random() * min(self.first_seconds * self._growth(tries), self.most_seconds)

    def _growth(self, tries: int) -> float:
        """Return the factor from the first to this delay's ceiling, at most the largest float."""
        try:
            return self.factor ** (tries - 1)
        except OverflowError:
            return sys.float_info.max


def ending_of(outcome: Outcome, tries: int, retries: RetryPolicy) -> Ending:
    """Tell how an attempt ends by its outcome, wherever it was made.

    `tries`: how many attempts the handler has had, with this one.
    """
    if outcome.kind is Kind.SUCCEEDED:
        return Ending(result=outcome.result)
    failure = Failure(code=outcome.code, message=outcome.message)
    delay = _delay_seconds(outcome, tries, retries)
    if delay is None:
        return Ending(event=Event.FAIL, failure=failure)
    return Ending(event=Event.RETRY, failure=failure, retry_after=round(delay * 1e6))


def _delay_seconds(outcome: Outcome, tries: int, retries: RetryPolicy) -> float | None:
    if outcome.kind is Kind.REJECTED or tries >= retries.max_attempts:
        return None
    return (
        outcome.after if outcome.after is not None else retries.delay_seconds(tries, random.random)
    )
