"""Who is told of completions, and how they wait for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orderintake_server.domain import Completion
    from orderintake_server.store.base import Store

MESSAGE_BYTES = 255 * 1024
"""Of completions in one message: with what is said once in it, it stays below 256 KiB."""


class Signal(Enum):
    """What a delivery says beyond its completions: the contract's Signal, by the same names."""

    UNSPECIFIED = 0
    STARTED = 1
    CAUGHT_UP = 2
    HEARTBEAT = 4
    GOING_AWAY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to a subscriber, which has now been sent everything up to `position`."""

    completions: list[Completion]
    signal: Signal
    position: int
    head: int


class Completions:
    """The head of the completion log, and all who wait for it to move."""

    def __init__(self, store: Store, *, head: int, earliest: int) -> None:
        """Begin with the log as it was found: from behind `earliest` to `head`."""
        self._store = store
        self._moved = asyncio.Event()
        self.head = head
        self.earliest = earliest
        self.is_closed = False

    def publish(self, head: int) -> None:
        """Wake every subscriber: the log is durable up to `head`."""
        if head > self.head:
            self.head = head
            self._wake()

    def close(self) -> None:
        """Wake every subscriber for the last time."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved.clear()

    async def wait_beyond(self, position: int, *, seconds: float) -> None:
        """Return when the head is beyond `position`, all is closed, or `seconds` have passed."""
        try:
            async with asyncio.timeout(seconds):
                while self.head <= position and not self.is_closed:
                    await self._moved.wait()
        except TimeoutError:
            pass

    async def read(self, *, after: int, limit: int) -> list[Completion]:
        """Read what follows place `after` up to the head, as much as one message may hold."""
        limit = min(limit, self.head - after)
        return await self._store.read_log(after=after, limit=limit, max_bytes=MESSAGE_BYTES)


class Subscription:
    """One subscriber: a place in the log, and what to send next. It keeps nothing else.

    Deliveries are, in this order: STARTED; what the log holds, page by page; CAUGHT_UP at its
    head; then what completes, as it happens, or a HEARTBEAT after `heartbeat_seconds` of silence;
    and GOING_AWAY, the last, when the service stops.
    """

    def __init__(
        self, completions: Completions, *, after: int, limit: int, heartbeat_seconds: float
    ) -> None:
        """Begin behind place `after`, with at most `limit` completions a delivery."""
        self._completions = completions
        self._position = after
        self._limit = limit
        self._heartbeat_seconds = heartbeat_seconds
        self._has_started = self._has_caught_up = self._is_ending = False

    async def next(self) -> Delivery:
        """Wait for the next delivery. After GOING_AWAY there is none."""
        if not self._has_started:
            self._has_started = True
            return self._delivery(Signal.STARTED)
        if self._completions.head <= self._position and self._has_caught_up:
            await self._completions.wait_beyond(self._position, seconds=self._heartbeat_seconds)
        return await self._deliver()

    async def _deliver(self) -> Delivery:
        """Tell what there is to tell now; once all is closed, one more page at the most."""
        if self._completions.head > self._position and not self._is_ending:
            self._is_ending = self._completions.is_closed
            page = await self._completions.read(after=self._position, limit=self._limit)
            self._position = page[-1].sequence
            return self._delivery(Signal.UNSPECIFIED, page)
        if self._completions.is_closed:
            return self._delivery(Signal.GOING_AWAY)
        if not self._has_caught_up:
            self._has_caught_up = True
            return self._delivery(Signal.CAUGHT_UP)
        return self._delivery(Signal.HEARTBEAT)

    def _delivery(self, signal: Signal, completions: list[Completion] | None = None) -> Delivery:
        return Delivery(
            completions=completions or [],
            signal=signal,
            position=self._position,
            head=max(self._completions.head, self._position),
        )
