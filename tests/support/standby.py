"""A primary, and a standby that every commit waits for; either can be lost."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support.postgres import DATABASE, Cluster, binaries, cluster
from support.replicas import until

WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
"""Whose commit is written, and waits for the standby to have it too."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The two, with a database on which nothing is acknowledged that the standby does not have."""

    primary: Cluster
    standby: Cluster

    @property
    def url(self) -> str:
        """The address of both, as servers are given it."""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in (self.primary, self.standby))
        return f"postgresql://{DATABASE}@{hosts}/{DATABASE}"

    async def fail_over(self) -> None:
        """Lose the primary at this moment; the standby takes its place."""
        await asyncio.to_thread(self.primary.kill)
        await asyncio.to_thread(self.standby.promote)

    async def lose_standby(self) -> None:
        """Stop the standby: from here on every commit waits."""
        await asyncio.to_thread(self.standby.stop)

    async def restore_standby(self) -> None:
        """Start the standby again: it gets what it missed."""
        await asyncio.to_thread(self.standby.start)

    async def crash(self) -> None:
        """Let the primary crash and come back by itself."""
        await asyncio.to_thread(self.primary.kill)
        await asyncio.to_thread(self.primary.start)

    async def ask(self, query: str) -> str:
        """Ask the primary."""
        return await asyncio.to_thread(self.primary.run_sql, query)

    async def ask_standby(self, query: str) -> str:
        """Ask the standby, which shows what it has."""
        return await asyncio.to_thread(self.standby.run_sql, query)

    async def until_waiting(self, query: str, *, count: int = 1) -> None:
        """Wait until so many statements with this text wait for the standby."""
        await until(lambda: self._are_waiting(query, count))

    async def end_waits(self, query: str, *, by: str) -> None:
        """End by this function, as an operator would, what waits for the standby."""
        assert await self.ask(f"SELECT {by}(pid) {WAITING} AND query LIKE '%{query}%'") == "t"

    async def _are_waiting(self, query: str, count: int) -> bool:
        found = await self.ask(f"SELECT count(*) {WAITING} AND query LIKE '%{query}%'")
        return int(found) >= count


@contextmanager
def pair() -> Iterator[Pair]:
    """Run a primary and its standby on the disk, where every commit is flushed."""
    with cluster(binaries()[0], fsync="on") as primary:
        standby = primary.standby()
        primary.commit_with(standby)
        yield Pair(primary=primary, standby=standby)
