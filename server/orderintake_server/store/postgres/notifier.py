"""What other replicas change: polled for, and at once where one of them gives a hint."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from orderintake_server.clock import Clock, FollowedClock, Moment
from orderintake_server.errors import StoreObstacle, StoreRefused
from orderintake_server.logger import get_logger
from orderintake_server.store.blame.postgres import talking
from orderintake_server.store.postgres.heartbeat import Outage
from orderintake_server.store.postgres.known_state import KnownState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orderintake_server.store.postgres.connector import Connection, Connector
    from orderintake_server.store.postgres.heartbeat import Heartbeat

CHANNEL = "orderintake"
LEAST_SECONDS = 0.005
"""Between two looks, and between two hints: many commits are told by one."""
MOST_SECONDS = 0.1
"""Between two looks while nothing changes."""
ALONE_SECONDS = 0.25
"""The same where there is no other replica, as far as is known."""
AWAY_SECONDS = 0.5
"""Before the next attempt to connect."""
SOON_SECONDS = 0.1
"""An answer that took longer does not tell whether the clock leapt."""

log = get_logger()

_NEWEST = """
SELECT *, floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS clock
FROM orderintake.commits ORDER BY number DESC LIMIT 1
"""
_HINT = f"BEGIN; SET LOCAL synchronous_commit = off; NOTIFY {CHANNEL}; COMMIT"
"""In a transaction of its own: within the commit's it would serialise the commits of everybody."""


class Notifier:
    """Looks at the newest commit; hints make it look sooner, and are never needed."""

    def __init__(
        self, connector: Connector, heartbeat: Heartbeat, *, hints: bool, clock: Clock | None = None
    ) -> None:
        """Poll the database that `connector` leads to; `hints`: listen for them, and give them.

        `clock` stands in for the database's.
        """
        self._connector = connector
        self._heartbeat = heartbeat
        self._hints = hints and not connector.is_pooled
        self._connection: Connection | None = None
        self._outage = Outage("polling for changes")
        self._steady = Clock().steady
        self._stand_in, self._stand_in_followed = clock, FollowedClock()
        self.has_stand_in = clock is not None
        self._followed = FollowedClock()
        self._expected: int | None = None
        self._moment: Moment | None = None
        self._session_id = 0
        self._wake = asyncio.Event()
        self._has_notified = True
        self._has_chores = self._has_changed = False
        self._pause = MOST_SECONDS
        heartbeat.on_change = self._status_changed

    @staticmethod
    def now() -> int:
        """Tell the time of this machine in microseconds since 1970."""
        return Clock()()

    def notify(self) -> None:
        """Let the other replicas know, soon, that something has changed."""
        if self._heartbeat.status.replicas > 1:
            self._has_notified = not self._hints
            self._wake.set()

    def has_chores(self) -> bool:
        """Tell, once, that something may be to do: a replica expired, or the clock leapt."""
        has_chores, self._has_chores = self._has_chores, False
        return has_chores

    def _status_changed(self) -> None:
        status = self._heartbeat.status
        self._has_chores |= status.has_expired and status.may_recover
        self._has_changed = True
        self._wake.set()

    async def newest(self, after: Callable[[], int]) -> Mapping[str, Any]:
        """Wait for a commit after this number, or a change of the status; return the newest row.

        While this replica is expired it is given nothing to start: it has to ask again afterwards.
        """
        while True:
            try:
                with talking():
                    connection = await self._connected()
                    await self._give_hint(connection)
                    row = await self._look(connection)
                self._outage.is_over()
            except (StoreObstacle, StoreRefused) as away:
                self._outage.goes_on(away)
                self._drop()
                await asyncio.sleep(AWAY_SECONDS)
                continue
            if row["number"] > after() or self._has_changed:
                self._has_changed = False
                self._pause = LEAST_SECONDS
                return row
            await self._wait()

    async def _look(self, connection: Connection) -> dict[str, Any]:
        """Read the newest commit, and whether the database's clock leapt: then there are chores."""
        began = self._steady()
        (newest,) = await self._connector.fetch(connection, _NEWEST)
        row: dict[str, Any] = dict(newest)
        KnownState(row).report()  # it can be read
        moment = Moment(now=row["clock"], steady=self._steady())
        is_soon = moment.steady - began < SOON_SECONDS * 1e6  # else it says little of the clock
        if is_soon and self._look_at_clock(moment, row["leapt"]):
            log.warning("the database's clock leapt", seconds=round(self._followed.leap / 1e6, 3))
            self._has_chores = self._has_changed = True
        return row

    def _look_at_clock(self, moment: Moment, leapt: int) -> bool:
        status = self._heartbeat.status
        if status.session_id != self._session_id:  # it may be this replica that stood still
            self._session_id, self._followed = status.session_id, FollowedClock()
        return self._followed.look(moment, leapt, judges=self._judges())

    def _judges(self) -> bool:
        """Tell whether this replica judges the clock for all of them: the oldest does."""
        return not self._heartbeat.status.older_replicas

    def clock_says(self, leapt: int | None) -> dict[str, int | None]:
        """Tell what a commit is told of the clock, as Caller has it.

        `leapt`: how much it had leapt by the newest commit that was seen; None: none was seen yet.
        """
        now, steady = None, self._steady()
        if self._stand_in is not None:
            now, steady = self._moment = self._stand_in.moment()
            if leapt is not None:
                self._stand_in_followed.look(self._moment, leapt, judges=self._judges())
        clock = self._stand_in_followed if self.has_stand_in else self._followed
        self._expected = clock.expected(steady)
        leap = clock.leap if self._judges() else 0
        return {"now": now, "leap": leap, "leapt": clock.leapt, "expected": self._expected}

    def begin(self, leapt: int) -> None:
        """Count leaps of a stand-in from the first commit on, up to which it had leapt so much."""
        if self._moment is not None:
            self._stand_in_followed.look(self._moment, leapt, judges=self._judges())

    def heed(self, time: int) -> None:
        """Look at the clock at once if this is later than a commit should have been."""
        if self._expected is not None and time > self._expected:
            self._wake.set()

    async def _wait(self) -> None:
        """Wait for a hint, but not for ever, and longer the longer nothing happens."""
        is_alone = self._heartbeat.status.replicas == 1
        self._pause = min(self._pause * 1.5, ALONE_SECONDS if is_alone else MOST_SECONDS)
        await asyncio.sleep(LEAST_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._wake.wait()
        self._wake.clear()

    async def _give_hint(self, connection: Connection) -> None:
        if not self._has_notified:
            self._has_notified = True
            with talking():
                await connection.execute(_HINT)

    async def _connected(self) -> Connection:
        """Give the connection, made anew if need be; what can be read by it is durable."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connector.connect_durably()
            if self._hints:
                with talking():
                    await self._connection.add_listener(CHANNEL, self._hinted)
        return self._connection

    def _hinted(self, *_: object) -> None:
        self._wake.set()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def close(self) -> None:
        """Let the connection go."""
        self._drop()
