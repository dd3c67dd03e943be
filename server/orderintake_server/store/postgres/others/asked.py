"""What others ask of the attempts of this replica, and what becomes of workers that it hears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orderintake_server.errors import StoreObstacle, StoreRefused
from orderintake_server.holders import LentLease
from orderintake_server.store.blame.postgres import talking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orderintake_server.domain import Lease
    from orderintake_server.store.changes import Changes
    from orderintake_server.store.postgres.connector import Readers
    from orderintake_server.store.postgres.known_state import KnownState


class Asked:
    """Asks the database, where a commit tells that there is something to hear."""

    def __init__(self, readers: Readers, session_id: Callable[[], int]) -> None:
        """Read with `readers`; `session_id` tells this replica's now."""
        self._readers = readers
        self._session_id = session_id
        self._cancels = 0
        """Which commits' cancels were heard of, as they are counted."""
        self._news = (0, 0)
        self._leased: dict[int, int] = {}
        """Accept sequences of what this process has in process, by start sequence."""

    def begin(self, row: Mapping[str, Any]) -> None:
        """Know all that was asked up to this commit: nothing was in process here."""
        self._cancels, self._news = row["cancels"], (row["cancels"], row["news"])

    @property
    def starts(self) -> list[int]:
        """Tell the start sequences of what this process has in process."""
        return list(self._leased)

    def keep(self, changes: Changes, started: Iterable[Lease]) -> None:
        """Note what a commit ended and started in this process."""
        for lease in (*changes.releases, *(settle.lease for settle in changes.settles)):
            self._leased.pop(lease.order.start_sequence, None)
        for lease in started:
            if not isinstance(lease, LentLease):
                self._leased[lease.order.start_sequence] = lease.order.accept_sequence

    def is_behind(self, state: KnownState) -> bool:
        """Tell whether there is something to hear, up to the newest commit that was seen."""
        return state.cancels != self._cancels or (state.cancels, state.news) != self._news

    async def to_stop(self, cancels: int) -> tuple[int, ...]:
        """Ask which of our attempts somebody asked to cancel since the last time."""
        if cancels == self._cancels:
            return ()
        rows = await self._rows(_TO_STOP, self._session_id())
        if rows is None:
            return ()
        ours = set(self._leased.values())
        numbers = tuple(number for number in rows if number in ours)
        if len(numbers) == len(rows):  # else one is just being given to us, or taken
            self._cancels = cancels
        return numbers

    async def news(self, cancels: int, news: int) -> tuple[str, ...]:
        """Ask which workers there is something to hear of, if there may be since the last time."""
        if (cancels, news) == self._news:
            return ()
        rows = await self._rows(_NEWS)
        if rows is None:
            return ()
        self._news = cancels, news
        return tuple(rows)

    async def _rows(self, query: str, *values: object) -> list[Any] | None:
        """Give the one column of a query; None: it is asked again by the next look."""
        try:
            with talking():
                return [value for (value,) in await self._readers.fetch(query, *values)]
        except (StoreObstacle, StoreRefused):
            return None


_TO_STOP = """
SELECT accept_sequence FROM orderintake.leases WHERE session_id = $1 AND cancel_requested
"""
_NEWS = """
SELECT worker_id FROM orderintake.workers k
WHERE is_stopping
  OR EXISTS (SELECT FROM orderintake.leases l
    WHERE l.worker = k.number AND l.worker > 0 AND l.cancel_requested)
"""
