"""What a replica looks at by itself, and when: as far as no commit and no hint tells enough."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any, cast

import pytest

from orderintake_server.clock import Clock
from orderintake_server.store.postgres import notifier
from orderintake_server.store.postgres.connector import Connector
from orderintake_server.store.postgres.heartbeat import Heartbeat, ReplicaStatus
from orderintake_server.store.postgres.notifier import MOST_SECONDS, Notifier

HOUR = 3_600_000_000
ROW: dict[str, Any] = {
    **dict.fromkeys(("number", "time", "leapt", "cancels", "started", "completed", "earliest"), 0),
    **dict.fromkeys(("news", "capacity"), 0),
    **{name: [0, 0] for name in ("queued", "scheduled", "processing")},
    **{name: [0, 0] for name in ("accepted_total", "completed_total", "paused")},
    "next_due": None,
    "next_deadline": None,
}
"""A commit of which nothing is told but its number."""
Hear = Callable[[object, int, str, object], None]


class Database:
    """A database of which nothing is there but its newest commit and its clock."""

    is_pooled = False

    def __init__(self) -> None:
        self.number = self.leap = self.looks = 0
        self.told: list[object] = []
        self.has_looked, self.was_told = asyncio.Event(), asyncio.Event()
        self.hear: Hear = lambda *_: None

    async def connect_durably(self) -> "Database":
        """Be the connection too."""
        return self

    def is_closed(self) -> bool:
        """Stay open."""
        return False

    async def execute(self, _: str) -> None:
        """Take a setting."""

    async def add_listener(self, _: str, hear: Hear) -> None:
        """Know who listens."""
        self.hear = hear

    async def fetch(self, _: object, query: str, *values: object) -> list[dict[str, Any]]:
        """Answer a look; take note of a hint."""
        if "AS clock" not in query:
            self.told += values
            self.was_told.set()
            return []
        self.looks += 1
        self.has_looked.set()
        clock = Clock().steady() + self.leap
        return [{**ROW, "number": self.number, "clock": clock}]

    def hint(self, text: object) -> None:
        """Hint at a commit, as another replica does."""
        self.hear(self, 0, notifier.CHANNEL, text)


class Status:
    """What a heartbeat says of the replicas, by hand."""

    def __init__(self) -> None:
        self.status = ReplicaStatus(session_id=2, older_replicas=1, replicas=2)
        self.on_change: Callable[[], object] = lambda: None

    def judge(self) -> None:
        """Say that the other replica is there no more."""
        self.status = replace(self.status, older_replicas=0, replicas=1)
        self.on_change()


class Replica:
    """A notifier, on a database and with a status by hand; it saw the commits up to `known`."""

    def __init__(self) -> None:
        self.database, self.heartbeat, self.known = Database(), Status(), 0
        connector = cast("Connector", self.database)
        self.notifier = Notifier(connector, cast("Heartbeat", self.heartbeat), hints=True)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator["asyncio.Task[Any]"]:
        """Wait for news, for which it has looked once and found none."""
        self.notifier.look_soon()
        async with asyncio.timeout(20):
            found = asyncio.create_task(self.notifier.newest(lambda: self.known))
            await self.database.has_looked.wait()
            yield found
            await found


@pytest.fixture
async def replica() -> Replica:
    """A replica with another one beside it, which is older."""
    return Replica()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody look only because it is time."""
    monkeypatch.setattr(notifier, "MOST_SECONDS", 3600)
    monkeypatch.setattr(notifier, "LEAST_SECONDS", 0)


@pytest.mark.parametrize("hint", ["6", "", "no number", "9" * 5000, None])
@pytest.mark.usefixtures("patient")
async def test_who_has_not_seen_the_commit_of_a_hint_looks_at_once(
    replica: Replica, hint: object
) -> None:
    replica.notifier._pause = 3600  # noqa: SLF001 - as after a long time without news
    replica.known = replica.database.number = 5
    async with replica.looking() as found:
        replica.database.number = 6
        replica.database.hint(hint)
    assert found.result()["number"] == 6
    assert replica.database.looks == 2


async def test_who_has_seen_the_commit_of_a_hint_does_not_look_for_it(replica: Replica) -> None:
    replica.known = replica.database.number = 5
    async with replica.looking():
        began = monotonic()
        replica.database.number = 6  # of which the hint does not come
        replica.database.hint("5")
    assert monotonic() - began > MOST_SECONDS / 2


async def test_a_commit_under_way_is_waited_for_as_long_as_a_look_can_wait(
    replica: Replica,
) -> None:
    replica.known = replica.database.number = 5
    with replica.notifier.committing():
        async with replica.looking():
            began = monotonic()
            replica.database.number = 6
            replica.database.hint("6")
        assert monotonic() - began > MOST_SECONDS / 2


@pytest.mark.usefixtures("patient")
async def test_a_commit_that_did_not_tell_is_looked_for_after_it(replica: Replica) -> None:
    replica.notifier._pause = 3600  # noqa: SLF001 - as after a long time without news
    replica.known = replica.database.number = 5
    async with replica.looking():
        with replica.notifier.committing():
            replica.database.number = 7
            replica.database.hint("7")
        replica.known = 6
    assert replica.database.looks == 2


@pytest.mark.usefixtures("patient")
async def test_a_hint_names_the_newest_commit_and_is_no_look(replica: Replica) -> None:
    replica.notifier._pause = 3600  # noqa: SLF001 - as after a long time without news
    async with replica.looking():
        replica.notifier.notify(3)
        replica.notifier.notify(4)
        await replica.database.was_told.wait()
        looks = replica.database.looks
        replica.database.number = 5
        replica.database.hint("5")
    assert replica.database.told == ["4"]
    assert looks == 1


async def test_p11_a_leap_that_its_judge_did_not_add_is_added_by_the_next_one(
    replica: Replica,
) -> None:
    async with replica.looking():
        replica.database.leap = HOUR
    assert replica.notifier.has_chores()
    assert replica.notifier.clock_says(0)["leap"] == 0  # for another is to judge
    replica.heartbeat.judge()
    assert replica.notifier.has_chores()
    assert replica.notifier.clock_says(0)["leap"] == pytest.approx(HOUR, abs=HOUR / 1000)
