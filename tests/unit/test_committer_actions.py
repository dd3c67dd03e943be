"""What operators do is recorded once for each effect, however its commit fares."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from orderintake_server.dispatch.inbox import CommitPolicy
from orderintake_server.domain import NewOrder, Tier
from orderintake_server.errors import StorageUnavailable, StoreAway, StoreRefused
from orderintake_server.store.changes import Changes, Committed
from support.changes import BOSS, FAILED, actions, new, told
from support.desk import Desk, working
from support.faulty import FaultyStore

BAD = b"guilty"
AT_ONCE = CommitPolicy(retry_seconds=0.0, probe_seconds=0.0)
EVE = replace(BOSS, name="eve")
COPY = new(request_id="redrive 1", redrive_of=1, by=BOSS)


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work, on a store that refuses an order of bad content; order 1 has failed."""
    with closing(sqlite3.connect(store._path)) as operator:  # noqa: SLF001 - the file itself
        operator.execute(
            f"CREATE TRIGGER refusing BEFORE INSERT ON orders WHEN NEW.content = X'{BAD.hex()}'"
            " BEGIN SELECT RAISE(ABORT, 'an operator refuses it'); END"
        )
        async with working(Desk(store, commits=AT_ONCE)) as desk:
            await desk.place(new())
            (lease,) = await desk.starts(1)
            desk.committer.settle(lease, FAILED)
            await desk.completions.head_beyond(0)
            await desk.place(*[new()] * 3)
            yield desk


async def do_all(desk: Desk, *others: NewOrder) -> list[Any]:
    """Pause, cancel and redrive, in one commit with other orders; give how each was answered."""
    desk.store.hold()
    asked: list[asyncio.Future[Any]] = [
        desk.committer.pause(Tier.VIP, is_paused=True, by=BOSS),
        desk.committer.cancel(2, BOSS),
        *(desk.committer.accept((other,)) for other in others),
        desk.committer.accept((COPY,)),
    ]
    desk.store.let_go()
    return await asyncio.gather(*asked, return_exceptions=True)


ALL = [
    ("CANCEL_ORDER", "boss", 2),
    ("PAUSE_TIER", "boss", Tier.VIP),
    ("REDRIVE_ORDER", "boss", 1),
]


async def test_of_a_commit_that_is_halved_each_effect_is_recorded_once(
    store: FaultyStore, desk: Desk
) -> None:
    others = [new(BAD if number == 5 else b"fine") for number in range(9)]
    answers = await do_all(desk, *others)
    assert [isinstance(answer, StoreRefused) for answer in answers].count(True) == 1
    assert sorted(told(await actions(store))) == sorted(ALL)


async def test_a_redrive_that_the_store_refuses_is_not_recorded(
    store: FaultyStore, desk: Desk
) -> None:
    bad = new(BAD, request_id="redrive 2", redrive_of=2, by=EVE)
    answers = await do_all(desk, bad)
    assert isinstance(answers[2], StoreRefused)
    assert sorted(told(await actions(store))) == sorted(ALL)


async def test_what_a_full_disk_refused_is_recorded_when_it_is_repeated(
    store: FaultyStore, desk: Desk
) -> None:
    store.fill()
    assert all(isinstance(each, StorageUnavailable) for each in await do_all(desk))
    store.repair()
    assert await actions(store) == []
    await do_all(desk)
    assert told(await actions(store)) == ALL


async def test_what_was_done_though_its_answer_was_lost_is_not_recorded_again(
    store: FaultyStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = store.commit

    async def losing(changes: Changes) -> Committed:
        committed = await commit(changes)
        if changes.cancels or changes.pauses or changes.accepts:
            raise StoreAway("the connection was lost after the commit")
        return committed

    monkeypatch.setattr(store, "commit", losing)
    assert all(isinstance(each, StorageUnavailable) for each in await do_all(desk))
    monkeypatch.undo()
    assert told(await actions(store)) == ALL
    answers = await do_all(desk)
    assert not any(isinstance(each, Exception) for each in answers)
    assert told(await actions(store)) == ALL


async def test_pauses_that_share_a_commit_are_done_and_recorded_in_their_order(
    store: FaultyStore, desk: Desk
) -> None:
    store.hold()
    asked = [
        desk.committer.pause(Tier.VIP, is_paused=is_paused, by=by)
        for is_paused, by in ((True, BOSS), (False, EVE), (False, BOSS), (True, EVE))
    ]
    store.let_go()
    await asyncio.gather(*asked)
    assert desk.stats.of(Tier.VIP).is_paused
    assert told(await actions(store)) == [
        ("PAUSE_TIER", "boss", Tier.VIP),
        ("RESUME_TIER", "eve", Tier.VIP),
        ("PAUSE_TIER", "eve", Tier.VIP),
    ]
