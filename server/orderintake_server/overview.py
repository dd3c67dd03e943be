"""The overview: which servers there are, how their store is doing, and who reads completions."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from orderintake_server.errors import StoreObstacle, StoreRefused
from orderintake_server.views import ServerSeen, StoreCondition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orderintake_server.metrics import Meters
    from orderintake_server.store.base import Store
    from orderintake_server.stream.log import CompletionLog
    from orderintake_server.stream.subscription import Subscription

SHOWN_SUBSCRIBERS = 500
"""So many take some 75 KiB of a message, and with the longest of names less than a MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers that use a store, and how it is doing."""

    seen: tuple[ServerSeen, ...]
    subscribers: int
    """Of this server."""
    condition: StoreCondition | None
    """None: it cannot be reached."""
    commit_seconds: tuple[float, float] | None
    """Half of the newest commits took no longer than the first, 99 of 100 than the second."""


class Overview:
    """What one server knows of itself, of the others, and of the store."""

    def __init__(  # noqa: PLR0913 - the parts that it looks at
        self,
        name: str,
        workers: int,
        store: Store,
        completions: CompletionLog,
        *,
        busy: Callable[[], int],
        meters: Meters,
        clock: Callable[[], int],
    ) -> None:
        """Be the server of this name, of whose workers so many are `busy`.

        `clock` returns microseconds since 1970.
        """
        self._name = name
        self._workers = workers
        self._store = store
        self._completions = completions
        self._busy = busy
        self._commits = meters.commits
        self._clock = clock
        self._since = clock()

    async def servers(self) -> Servers:
        """Look who is there; of a store that cannot be reached, this server knows itself."""
        try:
            condition = await self._store.condition.look()
        except (StoreObstacle, StoreRefused):
            condition = None
        others = condition.servers if condition else ()
        return Servers(
            seen=others or (self._own(),),
            subscribers=self._completions.subscribers,
            condition=condition,
            commit_seconds=_percentiles(self._commits.recent),
        )

    def subscribers(self) -> tuple[list[Subscription], int]:
        """Return this server's subscribers, the furthest behind first, and how many there are.

        No more are returned than SHOWN_SUBSCRIBERS.
        """
        found = sorted(self._completions.subscriptions, key=lambda each: each.lag, reverse=True)
        return found[:SHOWN_SUBSCRIBERS], len(found)

    def _own(self) -> ServerSeen:
        return ServerSeen(
            name=self._name,
            workers=self._workers,
            busy=self._busy(),
            since=self._since,
            heard=self._clock(),
            is_alive=True,
            is_own=True,
        )


def _percentiles(lengths: Iterable[float]) -> tuple[float, float] | None:
    ordered = sorted(lengths)
    if not ordered:
        return None
    return ordered[ceil(len(ordered) * 0.5) - 1], ordered[ceil(len(ordered) * 0.99) - 1]
