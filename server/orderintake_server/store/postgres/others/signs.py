"""The signs of life of workers: each replica writes which ones it heard, at its heartbeats."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orderintake_server.store.postgres.connector import Connection, Connector

_HEARD = """
WITH brief AS (
  SELECT set_config('idle_in_transaction_session_timeout', '5s', true)),
heard AS MATERIALIZED (
  SELECT k.number, clock_timestamp() + make_interval(secs => $3 - a.age) AS until
  FROM brief, unnest($1::text[], $2::double precision[]) AS a (worker_id, age)
  JOIN orderintake.workers k ON k.worker_id = a.worker_id
  FOR UPDATE OF k SKIP LOCKED)
UPDATE orderintake.workers k SET expires_at = h.until FROM heard h
WHERE k.number = h.number AND k.ended_at = 0 AND h.until > k.expires_at + interval '100 ms'
"""
"""One that a commit is changing is told of by the next heartbeat: so none waits for the other."""


class Signs:
    """Asks, in the loop in which it was made, who was heard, and writes it from another."""

    def __init__(self, worker_lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A worker is dead after `worker_lease` seconds in which no replica heard it.

        `clock` is steady, in seconds.
        """
        self.worker_lease = worker_lease
        self._clock = clock
        self._answered_since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._ages: Callable[[], Mapping[str, float]] = dict

    def follow(self, ages: Callable[[], Mapping[str, float]]) -> None:
        """Ask `ages`, in that loop, which workers were heard here how many seconds ago."""
        self._ages = ages

    async def write(self, connector: Connector, connection: Connection, seconds: float) -> None:
        """Write who was heard; nothing when the loop that hears them stands still for `seconds`."""
        ages = asyncio.run_coroutine_threadsafe(self._ask(), self._loop)
        try:
            heard = await asyncio.wait_for(asyncio.wrap_future(ages), seconds)
        except TimeoutError:
            self._answered_since = None
            return
        if self._answered_since is None:
            self._answered_since = self._clock()
        if heard:
            values = list(heard), list(heard.values()), self.worker_lease
            await connector.fetch(connection, _HEARD, *values)

    def may_bury(self) -> bool:
        """Tell whether the loop could hear workers for the time of their lease without a break."""
        since = self._answered_since
        return since is not None and self._clock() - since >= self.worker_lease

    async def _ask(self) -> Mapping[str, float]:
        return self._ages()
