"""What a worker has: calls without an answer, leases, outcomes to tell. No input or output."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.duration_pb2 import Duration

from orderintake.v1.order_work_service_pb2 import (
    Inventory,
    LeaseOrdersRequest,
    Outcome,
    Returned,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from orderintake.v1.order_work_service_pb2 import LeasedOrder, LeaseOrdersResponse

MOST_SLOTS = 32
MOST_OUTCOMES = 32
"""What one call holds at the most."""
MOST_TELLING = 2
"""So many calls with outcomes are under way at once; what ends meanwhile rides in the next."""
MOST_WAITING = 32
"""So many calls wait for orders at once: the server lets a worker have twice as many."""
WAIT_SECONDS = 10.0
"""How long a call waits for an order: proxies end calls that are silent for longer."""
SHORT_SECONDS = 1.0
"""A wait is not made to end with an older one that ends sooner than this."""

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class About:
    """What a worker says of itself."""

    worker_id: str
    """One life of one process."""
    name: str
    """What people are told of it."""
    capacity: int
    """How many slots it has."""


@dataclass(frozen=True, slots=True, eq=False)
class Call(Generic[S]):
    """A LeaseOrders call without an answer, to be repeated as it was."""

    request: LeaseOrdersRequest
    slots: list[S]
    """The slots that it offers, less those that were withdrawn."""
    wait: float
    """How long the server may wait for an order, in seconds."""
    ends: float
    """When that is over, by the book's clock."""


class Book(Generic[S]):
    """The state of one worker; a slot is whatever its owner calls one.

    The owner makes each call that `next_call` gives, repeats it until it is answered, and passes
    the answer to `answered`, or else says that it was `refused` or that it `gave_up`. Any thread
    may ask for the `inventory`: every change is made under one lock.
    """

    def __init__(self, about: About, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing. `clock` counts seconds."""
        self.about = about
        self._clock = clock
        self._lock = threading.Lock()
        self._free: deque[S] = deque()
        self._held: set[str] = set()
        self._unsent: deque[Outcome] = deque()
        self._doubtful: deque[Outcome] = deque()
        """Outcomes of a call that was refused: each is told alone, to find the bad one."""
        self._open: dict[int, Call[S]] = {}
        self._last_call = 0
        self._is_stopping = False

    # Slots

    def offer(self, slot: S) -> None:
        """Note that a slot is free for an order."""
        with self._lock:
            self._free.append(slot)

    def withdraw(self, slot: S) -> None:
        """Note that it is not any more; what a call brings for it is returned."""
        with self._lock:
            for slots in (self._free, *(call.slots for call in self._open.values())):
                if slot in slots:
                    slots.remove(slot)

    def stop(self) -> None:
        """Offer no slot any more."""
        with self._lock:
            self._is_stopping = True

    # Outcomes

    def end(self, outcome: Outcome) -> bool:
        """Note what came of an attempt; False when its lease was lost: then it is not told."""
        with self._lock:
            if outcome.lease not in self._held:
                return False
            self._unsent.append(outcome)
            return True

    def lost(self, leases: Collection[str]) -> list[str]:
        """Note leases that are good no longer; give those of which nothing was sent yet.

        Of those whose outcome is on its way the answer tells.
        """
        with self._lock:
            sent = {each.lease for call in self._open.values() for each in call.request.outcomes}
            gone = [lease for lease in leases if lease in self._held and lease not in sent]
            self._held.difference_update(gone)
            for outcomes in (self._unsent, self._doubtful):
                kept = [each for each in outcomes if each.lease in self._held]
                outcomes.clear()
                outcomes.extend(kept)
            return gone

    # Calls

    def next_call(self) -> Call[S] | None:
        """Give a call that is to be made now, by its next number; None: there is nothing to say."""
        with self._lock:
            waits = [call for call in self._open.values() if not call.request.outcomes]
            if self._unsent or self._doubtful:
                is_due = len(self._open) - len(waits) < MOST_TELLING
                return self._call(self._next_outcomes(), 0.0) if is_due else None
            if self._is_stopping or not self._free or len(waits) >= MOST_WAITING:
                return None
            left = min((call.ends for call in waits), default=0.0) - self._clock()
            # Calls that end together are merged in the next one.
            return self._call([], WAIT_SECONDS if left < SHORT_SECONDS else left)

    def _next_outcomes(self) -> list[Outcome]:
        if self._doubtful:
            return [self._doubtful.popleft()]
        return [self._unsent.popleft() for _ in range(min(len(self._unsent), MOST_OUTCOMES))]

    def _call(self, outcomes: list[Outcome], wait: float) -> Call[S]:
        most = 0 if self._is_stopping else min(len(self._free), MOST_SLOTS)
        slots = [self._free.popleft() for _ in range(most)]
        self._last_call += 1
        request = LeaseOrdersRequest(
            worker_id=self.about.worker_id,
            name=self.about.name,
            capacity=self.about.capacity,
            call=self._last_call,
            slots=len(slots),
            outcomes=outcomes,
            wait=_duration(wait),
        )
        call = Call(request, slots, wait, self._clock() + wait)
        self._open[self._last_call] = call
        return call

    def answered(self, call: Call[S], response: LeaseOrdersResponse) -> list[tuple[S, LeasedOrder]]:
        """Accept the answer of a call; give the orders, each with the slot that starts it now.

        The slots that got none are free again. Nothing comes of the answer of a call that was given
        up: the next inventory returns its orders.
        """
        with self._lock:
            if self._open.pop(call.request.call, None) is None:
                return []
            self._held.difference_update(each.lease for each in call.request.outcomes)
            self._held.update(each.lease for each in response.orders)
            started = list(zip(call.slots, response.orders, strict=False))
            for order in response.orders[len(started) :]:
                self._unsent.append(Outcome(lease=order.lease, returned=Returned()))
            self._free.extend(call.slots[len(started) :])
            return started

    def refused(self, call: Call[S]) -> list[str]:
        """Accept that nothing of a call was done, nor will be; give the leases that are dropped.

        Of many outcomes each is told once more, alone; one that was alone is dropped.
        """
        with self._lock:
            self._open.pop(call.request.call, None)
            self._free.extend(call.slots)
            outcomes = call.request.outcomes
            if len(outcomes) > 1:
                self._doubtful.extend(outcomes)
                return []
            dropped = [each.lease for each in outcomes]
            self._held.difference_update(dropped)
            return dropped

    def gave_up(self, call: Call[S]) -> None:
        """Note that nobody waits for the answer of a call any more; its outcomes are told again."""
        with self._lock:
            if self._open.pop(call.request.call, None) is not None:
                self._unsent.extendleft(reversed(call.request.outcomes))
            self._free.extend(call.slots)

    # What there is

    def inventory(self) -> Inventory:
        """Give what the worker has at this moment."""
        with self._lock:
            return Inventory(
                held=sorted(self._held), last_call=self._last_call, open_calls=sorted(self._open)
            )

    @property
    def held(self) -> int:
        """How many leases it has."""
        return len(self._held)

    @property
    def untold(self) -> int:
        """How many outcomes have not been answered."""
        with self._lock:
            sent = sum(len(call.request.outcomes) for call in self._open.values())
            return sent + len(self._unsent) + len(self._doubtful)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1_000))
    return duration
