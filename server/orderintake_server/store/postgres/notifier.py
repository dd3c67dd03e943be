"""What other replicas change: polled for, and at once where one of them gives a hint."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from orderintake_server.clock import Clock, FollowedClock, Moment
from orderintake_server.errors import StoreObstacle, StoreRefused
from orderintake_server.logger import get_logger
from orderintake_server.store.blame.postgres import talking
from orderintake_server.store.postgres.heartbeat import Outage
from orderintake_server.store.postgres.known_state import KnownState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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
_HINT = f"SELECT pg_notify('{CHANNEL}', $1)"
"""With the number of the commit that it tells of, whose transaction is over: within that, it would
serialise the commits of everybody."""
_NUMBER = re.compile(r"[0-9]{1,18}")
_NO_FLUSH = "SET synchronous_commit = off"
"""A hint that is lost does no harm."""


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
        self._untold = self._heard = 0
        """The newest commits that others are to be told of, and were told of by others."""
        self._is_committing = self._has_chores = self._has_changed = False
        self._pause, self._next_look = MOST_SECONDS, 0.0
        heartbeat.on_change = self._status_changed

    @staticmethod
    def now() -> int:
        """Tell the time of this machine in microseconds since 1970."""
        return Clock()()

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Look for no news meanwhile, if it does not take long: the commit's answer tells them."""
        self._is_committing = True
        try:
            yield
        finally:
            self._is_committing = False
            self._wake.set()

    def notify(self, number: int) -> None:
        """Let the other replicas know, soon, of the commit of this number."""
        if self._hints and self._heartbeat.status.replicas > 1:
            self._untold = number
            self._wake.set()

    def look_soon(self) -> None:
        """Look, though nobody told of anything new."""
        self._next_look = 0.0
        self._wake.set()

    def has_chores(self) -> bool:
        """Tell, once, that something may be to do: a replica expired, or the clock leapt."""
        has_chores, self._has_chores = self._has_chores, False
        return has_chores

    def _status_changed(self) -> None:
        status = self._heartbeat.status
        self._has_chores |= status.has_expired and status.may_recover
        self._has_chores |= status.has_silent and status.may_bury
        self._has_chores |= bool(self._followed.leap) and self._judges()  # the judge before did not
        self._has_changed = True
        self._wake.set()

    async def newest(self, after: Callable[[], int]) -> Mapping[str, Any]:
        """Wait for a commit after this number, or a change of the status; return the newest row.

        While this replica is expired it is given nothing to start: it has to ask again afterwards.
        """
        while True:
            await self._wait(after)
            try:
                with talking():
                    connection = await self._connected()
                    await self._give_hint(connection)
                    row = await self._look_if_due(connection, after)
                self._outage.is_over()
            except (StoreObstacle, StoreRefused) as away:
                self._outage.goes_on(away)
                self._drop()
                self._next_look = 0.0
                await asyncio.sleep(AWAY_SECONDS)
                continue
            if row and (row["number"] > after() or self._has_changed):
                self._has_changed = False
                return row

    async def _wait(self, after: Callable[[], int]) -> None:
        """Wait until there is something to tell or to look at, or it is time to look anyway."""
        await asyncio.sleep(LEAST_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_look):
                while not (self._untold or self._has_heard(after) or self._is_due()):
                    self._wake.clear()
                    await self._wake.wait()

    def _has_heard(self, after: Callable[[], int]) -> bool:
        """Tell whether there is something new that no commit under way is about to tell."""
        return self._has_changed or (self._heard > after() and not self._is_committing)

    def _is_due(self) -> bool:
        return asyncio.get_running_loop().time() >= self._next_look

    async def _look_if_due(
        self, connection: Connection, after: Callable[[], int]
    ) -> dict[str, Any] | None:
        """Look; the next time sooner if nobody had told of what is new, else later and later."""
        has_heard = self._has_heard(after)
        if not (has_heard or self._is_due()):
            return None
        self._heard = 0
        row = await self._look(connection)
        if row["number"] > after() and not has_heard:
            self._pause = LEAST_SECONDS
        else:
            is_alone = self._heartbeat.status.replicas == 1
            self._pause = min(self._pause * 1.5, ALONE_SECONDS if is_alone else MOST_SECONDS)
        self._next_look = asyncio.get_running_loop().time() + self._pause
        return row

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

    def heed(self, time: int, *, stops: bool) -> None:
        """Look at the clock at once if this is later than a commit should have been.

        `stops`: look in any case, for attempts were asked to stop, and these may be ours.
        """
        if stops or (self._expected is not None and time > self._expected):
            self.look_soon()

    async def _give_hint(self, connection: Connection) -> None:
        number, self._untold = self._untold, 0
        if number:
            await self._connector.fetch(connection, _HINT, str(number))

    async def _connected(self) -> Connection:
        """Give the connection, made anew if need be; what can be read by it is durable."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connector.connect_durably()
            if self._hints:
                with talking():
                    await self._connection.execute(_NO_FLUSH)
                    await self._connection.add_listener(CHANNEL, self._hinted)
        return self._connection

    def _hinted(self, _: object, _pid: int, _channel: str, told: object) -> None:
        """Hear of a commit; a hint without its number may be of any."""
        number = _NUMBER.fullmatch(str(told))
        self._heard = max(self._heard, int(number[0]) if number else sys.maxsize)
        self._wake.set()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def close(self) -> None:
        """Let the connection go."""
        self._drop()
