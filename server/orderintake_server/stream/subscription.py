"""One subscription: a position in the completion log, and what to send next."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orderintake_server.views import EVERY_ORDER, Delivery, Signal, StartAt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orderintake_server.stream.log import CompletionLog
    from orderintake_server.stream.ring import Cut
    from orderintake_server.views import Subscribe


class Subscription:
    """A subscriber's position in the log; it keeps nothing else, however slow the subscriber is.

    Deliveries come in this order: STARTED; what is in the log, page by page; CAUGHT_UP at its head;
    then completions as they happen. HEARTBEAT comes after `heartbeat_seconds` of silence.
    FELL_BEHIND comes when the next completions are no longer in memory, and CAUGHT_UP again later.
    GOING_AWAY is last.
    """

    def __init__(self, completions: CompletionLog, request: Subscribe, *, after: int) -> None:
        """Begin after the sequence `after`, which is where `request.start` is now."""
        self._completions = completions
        self._ring = completions.ring
        self._wanted = self.wanted = request.wanted
        self.reader = request.reader
        self._limit = request.limit
        self._heartbeat_seconds = request.heartbeat_seconds
        self._is_at_earliest = request.start is StartAt.EARLIEST
        self._position = after
        self._catch_up_at = completions.head
        self._time = asyncio.get_running_loop().time
        self._sent_at = self._time()
        self._has_started = self._has_caught_up = self._is_ending = False
        self._is_waiting = False

    @property
    def position(self) -> int:
        """Up to which sequence it was sent everything that it wants."""
        return self._position

    @property
    def lag(self) -> int:
        """How many completions it has yet to look at; 0 as long as it waits for new ones."""
        return 0 if self._is_waiting else max(self._completions.head - self._position, 0)

    async def next(self) -> Delivery:
        """Wait for the next delivery and return it. After GOING_AWAY there is none.

        Raises CursorExpired when some completions that it has to read have been pruned.
        """
        if not self._has_started:
            self._has_started = True
            return self._signal(Signal.STARTED)
        while True:
            delivery = await self._look()
            if delivery is not None:
                self._sent_at = self._time()
                return delivery

    async def _look(self) -> Delivery | None:
        """Look for a delivery from this position: from the log, from the ring, or at its end."""
        if self._position < self._ring.start:
            return await self._from_log()
        if self._position < self._ring.end:
            cut = self._ring.cut(self._wanted, after=self._position, limit=self._limit)
            return self._advance(cut)
        return await self._at_head()

    async def _from_log(self) -> Delivery | None:
        """Deliver one page of the log; once the log is closed, one page and no more."""
        if self._has_caught_up:
            self._has_caught_up, self._catch_up_at = False, self._completions.head
            return self._signal(Signal.FELL_BEHIND)
        if self._is_ending:
            return self._signal(Signal.GOING_AWAY)
        self._is_ending = self._completions.is_closed
        cut = await self._completions.pages.cut(
            self._wanted,
            after=self._position,
            limit=self._limit,
            from_earliest=self._is_at_earliest,
        )
        return self._advance(cut) or self._after_silence()

    async def _at_head(self) -> Delivery | None:
        """Wait for a wanted completion; for any completion as long as it has not caught up."""
        if self._completions.is_over:
            return self._signal(Signal.GOING_AWAY)
        has_caught_up = self._position >= self._catch_up_at
        if has_caught_up and not self._has_caught_up:
            self._has_caught_up = True
            return self._signal(Signal.CAUGHT_UP)
        wanted = self._wanted if has_caught_up else EVERY_ORDER
        self._is_waiting = True
        woken = await self._completions.wait(wanted, seconds=self._seconds_to_heartbeat())
        self._is_waiting = False
        if has_caught_up:
            self._position = max(self._position, woken.after)
        return self._signal(Signal.HEARTBEAT) if woken.is_silent else None

    def _after_silence(self) -> Delivery | None:
        return None if self._seconds_to_heartbeat() else self._signal(Signal.HEARTBEAT)

    def _seconds_to_heartbeat(self) -> float:
        return max(self._sent_at + self._heartbeat_seconds - self._time(), 0.0)

    def _advance(self, cut: Cut) -> Delivery | None:
        """Move the position to the end of a cut; deliver the cut, if it holds anything."""
        self._position = cut.end
        if not cut.encoded:
            return None
        self._is_at_earliest = False  # from now on, a pruned completion would be a missed one
        return self._delivery(Signal.UNSPECIFIED, cut.encoded)

    def _signal(self, signal: Signal) -> Delivery:
        return self._delivery(signal, b"")

    def _delivery(self, signal: Signal, completions: bytes) -> Delivery:
        return Delivery(
            completions=completions,
            signal=signal,
            position=self._position,
            head=max(self._completions.head, self._position),
        )


@contextmanager
def subscribed(
    completions: CompletionLog, request: Subscribe, *, after: int
) -> Iterator[Subscription]:
    """Give a subscription that begins after `after`; count it and its lag while inside."""
    with completions.subscriber():
        subscription = Subscription(completions, request, after=after)
        completions.subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            completions.subscriptions.remove(subscription)
