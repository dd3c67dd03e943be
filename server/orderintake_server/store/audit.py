"""What the audits of both stores share: their findings, and the check of the order of starts."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.domain import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = 5
"""How many examples a finding shows."""
ORDER_OF_STARTS = "no order starts while a more urgent one waits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that the store breaks: how many times, with some examples."""

    rule: str
    count: int
    examples: tuple[str, ...]


class WaitSpan(NamedTuple):
    """An order's wait in the queue, until its first start or its end; 0: not yet."""

    rank: int
    accept_sequence: int
    tier: int
    start_sequence: int
    started: int
    ended: int


class Pause(NamedTuple):
    """A tier was paused or resumed by a commit."""

    commit: int
    tier: int
    is_paused: bool


class FirstStarts:
    """Replays the first starts in their order, and checks each against all that waited then.

    `started`, `ended` and `commit` name commits, by numbers that never decrease from one commit to
    the next. An order accepted by the same commit as a start, or by a later one, was not waiting
    at that start.
    """

    def __init__(self, pauses: Iterable[Pause]) -> None:
        """Begin with an empty queue; `pauses` are in their order."""
        self._pauses = deque(pauses)
        self._newest_pauses: dict[int, Pause] = {}
        self._queues: defaultdict[int, list[WaitSpan]] = defaultdict(list)
        self._count = 0
        self._examples: list[str] = []

    def see(self, wait: WaitSpan, *, is_start: bool) -> None:
        """Replay one event: an order starts, or begins to wait.

        An order's wait comes before every start of a later commit, and after those of its own.
        """
        if is_start:
            self._start(wait)
        else:
            heappush(self._queues[wait.tier], wait)

    def findings(self) -> list[Finding]:
        """Return which orders started while a more urgent one waited."""
        if not self._count:
            return []
        return [Finding(rule=ORDER_OF_STARTS, count=self._count, examples=tuple(self._examples))]

    def _start(self, start: WaitSpan) -> None:
        paused = self._paused_at(start.started)
        for tier in (tier for tier in Tier if tier not in paused):
            first = _first_waiting(self._queues[tier], start)
            if first is not None and first[:2] < start[:2]:
                self._find(f"order {start.accept_sequence} before order {first.accept_sequence}")

    def _paused_at(self, commit: int) -> set[int]:
        """Return the tiers that were paused at that commit, or were paused or resumed by it."""
        while self._pauses and self._pauses[0].commit <= commit:
            pause = self._pauses.popleft()
            self._newest_pauses[pause.tier] = pause
        newest = self._newest_pauses.values()
        return {pause.tier for pause in newest if pause.is_paused or pause.commit == commit}

    def _find(self, example: str) -> None:
        self._count += 1
        if self._count <= SHOWN:
            self._examples.append(example)


def _first_waiting(queue: list[WaitSpan], start: WaitSpan) -> WaitSpan | None:
    """Return the most urgent order that waited when another order started."""
    while queue:
        first = queue[0]
        has_started = 0 < first.start_sequence <= start.start_sequence
        has_ended = 0 < first.ended <= start.started
        if not has_started and not has_ended:
            return first
        heappop(queue)
    return None
