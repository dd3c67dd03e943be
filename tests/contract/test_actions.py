"""What operators did is recorded in the commit that did it: each effect once, and nothing else."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from orderintake_server.domain import Action, NewOrder, Operator, Tier
from orderintake_server.errors import StoreFull, StoreRefused
from orderintake_server.ids import NEWEST
from orderintake_server.store.changes import Cancel, Changes, Pause
from orderintake_server.store.sqlite.database import NAME
from orderintake_server.store.sqlite.files.backup import backup
from orderintake_server.views import OperatorAction
from support.changes import (
    AMPLE,
    BOSS,
    FAILED,
    actions,
    cancel,
    complete,
    new,
    pause,
    place,
    prune,
    release,
    start,
    told,
    whole_log,
)
from support.stores import FoundStore, Home, SqliteHome

LARGE = b"x" * 90_000
EVE = Operator(name="eve", credential="jwt", peer="unix:")


def redrive(number: int, *, by: Operator | None = BOSS) -> NewOrder:
    """Make the copy that redrives an order."""
    return new(request_id=f"redrive {number}", redrive_of=number, by=by)


async def test_at_first_operators_did_nothing(store: FoundStore) -> None:
    assert await store.list_actions(None, before=NEWEST, limit=9) == ([], False)


async def test_each_action_tells_what_was_done_when_and_by_whom(
    home: Home, store: FoundStore
) -> None:
    await complete(store, new(), ending=FAILED)
    await place(store, new())
    times = []
    for act in (
        lambda: pause(store, Tier.VIP, by=BOSS),
        lambda: place(store, redrive(1, by=EVE)),
        lambda: cancel(store, 2, by=BOSS),
        lambda: pause(store, Tier.VIP, is_paused=False, by=EVE),
    ):
        await act()
        times.append(home.clock.now)
        home.clock.turn(1)
    paused, copied, cancelled, resumed = await actions(store)
    assert [each.sequence for each in (paused, copied, cancelled, resumed)] == [1, 2, 3, 4]
    assert [each.time for each in (paused, copied, cancelled, resumed)] == times
    assert paused == OperatorAction(
        sequence=1, time=times[0], action=Action.PAUSE_TIER, by=BOSS, tier=Tier.VIP
    )
    assert replace(paused, sequence=4, time=times[3], by=EVE, action=Action.RESUME_TIER) == resumed
    assert (copied.action, copied.by, copied.tier) == (Action.REDRIVE_ORDER, EVE, None)
    assert (copied.accept_sequence, copied.detail) == (1, '{"copy": 3}')
    assert (cancelled.action, cancelled.by, cancelled.tier) == (Action.CANCEL_ORDER, BOSS, None)
    assert (cancelled.accept_sequence, cancelled.detail) == (2, '{"outcome": "CANCELLED"}')


async def test_what_nobody_does_as_an_operator_is_not_recorded(store: FoundStore) -> None:
    await complete(store, new(), ending=FAILED)
    await place(store, new(), new(redrive_of=1))
    await cancel(store, 2)
    await pause(store, Tier.VIP)
    assert await actions(store) == []


@pytest.mark.parametrize("times", [2, 3])
async def test_what_is_so_already_is_done_once(store: FoundStore, times: int) -> None:
    await complete(store, new(), ending=FAILED)
    await place(store, new())
    for _ in range(times):
        await pause(store, Tier.REGULAR, by=BOSS)
        await place(store, redrive(1))
        await cancel(store, 2, 99, by=BOSS)
    assert told(await actions(store)) == [
        ("PAUSE_TIER", "boss", Tier.REGULAR),
        ("REDRIVE_ORDER", "boss", 1),
        ("CANCEL_ORDER", "boss", 2),
    ]


async def test_of_two_in_one_commit_who_ask_for_the_same_the_first_does_it(
    store: FoundStore,
) -> None:
    await complete(store, new(), ending=FAILED)
    await place(store, new(), new())
    changes = Changes(
        cancels=[Cancel(2), Cancel(3, EVE), Cancel(2, BOSS), Cancel(3, BOSS), Cancel(3)],
        pauses=[
            Pause(Tier.VIP, is_paused=True, by=EVE),
            Pause(Tier.VIP, is_paused=True, by=BOSS),
            Pause(Tier.VIP, is_paused=False, by=BOSS),
        ],
        accepts=[[redrive(1, by=EVE)], [redrive(1, by=BOSS)]],
        capacity=AMPLE,
    )
    committed = await store.commit(changes)
    assert committed.paused == frozenset()
    assert told(await actions(store)) == [
        ("CANCEL_ORDER", "eve", 3),
        ("PAUSE_TIER", "eve", Tier.VIP),
        ("RESUME_TIER", "boss", Tier.VIP),
        ("REDRIVE_ORDER", "eve", 1),
    ]


async def test_an_attempt_is_asked_to_stop_once(store: FoundStore) -> None:
    await place(store, new())
    (lease,) = await start(store)
    for by in (BOSS, EVE):
        await cancel(store, 1, by=by)
    await release(store, lease)
    await cancel(store, 1, by=EVE)
    (asked,) = await actions(store)
    assert (asked.by, asked.detail) == (BOSS, '{"outcome": "CANCEL_REQUESTED"}')


async def test_an_attempt_that_ends_cancelled_in_the_same_commit_is_not_cancelled_again(
    store: FoundStore,
) -> None:
    await place(store, new())
    (lease,) = await start(store)
    await cancel(store, 1)
    await store.commit(Changes(releases=[lease], cancels=[Cancel(1, BOSS)]))
    assert await actions(store) == []


async def test_a_refused_group_redrives_nothing(store: FoundStore) -> None:
    await complete(store, new(), new(), ending=FAILED)
    await place(store, new(b"cake", request_id="redrive 1"))
    await store.commit(
        Changes(
            accepts=[[redrive(1)], [redrive(2)]],
            capacity=AMPLE,
        )
    )
    assert told(await actions(store)) == [("REDRIVE_ORDER", "boss", 2)]


async def test_a_failed_commit_records_nothing(home: Home, store: FoundStore) -> None:
    await place(store, new(), new())
    changes = Changes(
        cancels=[Cancel(1, BOSS)],
        pauses=[Pause(Tier.VIP, is_paused=True, by=BOSS)],
        accepts=[[new(LARGE, redrive_of=2, by=BOSS)]],
        capacity=AMPLE,
    )
    with home.full(), pytest.raises(StoreFull):
        await store.commit(changes)
    assert await actions(store) == []
    await store.commit(changes)
    assert [each.sequence for each in await actions(store)] == [1, 2, 3]


async def test_a_refused_commit_records_nothing(home: Home, store: FoundStore) -> None:
    await place(store, new())
    changes = Changes(cancels=[Cancel(1, BOSS)], accepts=[[new(b"evil")]], capacity=AMPLE)
    with home.refusing("orders", "content", b"evil"), pytest.raises(StoreRefused):
        await store.commit(changes)
    assert await actions(store) == []
    assert await whole_log(store) == []


async def test_what_was_done_outlives_crash_stop_and_pruning(home: Home, store: FoundStore) -> None:
    await place(store, new())
    await pause(store, Tier.VIP, by=BOSS)
    await cancel(store, 1, by=EVE)
    before = await actions(store)
    left = await home.crash()
    assert await actions(left) == before
    home.clock.turn(9)
    await prune(left, home.clock.now, requests_before=home.clock.now)
    again = await home.reopen()
    assert await again.find(1) is None
    assert await actions(again) == before
    await pause(again, Tier.VIP, is_paused=False, by=BOSS)
    assert [each.sequence for each in await actions(again)] == [1, 2, 3]


async def test_pages_lead_from_the_newest_to_the_oldest(store: FoundStore) -> None:
    for number in range(5):
        await pause(store, Tier.VIP, is_paused=number % 2 == 0, by=BOSS)
    page, goes_on = await store.list_actions(None, before=NEWEST, limit=2)
    assert ([each.sequence for each in page], goes_on) == ([5, 4], True)
    await pause(store, Tier.REGULAR, by=EVE)
    page, goes_on = await store.list_actions(None, before=4, limit=2)
    assert ([each.sequence for each in page], goes_on) == ([3, 2], True)
    page, goes_on = await store.list_actions(None, before=2, limit=1)
    assert ([each.sequence for each in page], goes_on) == ([1], False)


async def test_what_was_done_to_one_order_is_listed(store: FoundStore) -> None:
    await complete(store, new(), ending=FAILED)
    await place(store, new())
    await place(store, redrive(1))
    await cancel(store, 2, 3, by=BOSS)
    assert told(await actions(store, 1)) == [("REDRIVE_ORDER", "boss", 1)]
    assert told(await actions(store, 3)) == [("CANCEL_ORDER", "boss", 3)]
    assert await actions(store, 4) == []
    assert await actions(store, 0) == []


async def test_a_page_fits_in_a_message(store: FoundStore) -> None:
    wordy = replace(BOSS, name="ž" * 192, peer="☃" * 192, request_id="é" * 128)
    for number in range(400):
        await pause(store, Tier.VIP, is_paused=number % 2 == 0, by=wordy)
    page, goes_on = await store.list_actions(None, before=NEWEST, limit=1000)
    assert goes_on
    assert 150 < len(page) < 210
    assert len(await actions(store)) == 400


async def test_a_name_of_any_printable_characters_is_kept(store: FoundStore) -> None:
    odd = Operator(name="Žofie ☃ \U0001f6d2 '\"\\ %s $1 {}", credential="certificate", peer="")
    await pause(store, Tier.VIP, by=odd)
    (action,) = await actions(store)
    assert action.by == odd


async def test_a_backup_has_what_operators_did(sqlite_home: SqliteHome, tmp_path: Path) -> None:
    store = await sqlite_home.open()
    await pause(store, Tier.VIP, by=BOSS)
    before = await actions(store)
    copy = SqliteHome(tmp_path / "restored")
    copy.directory.mkdir(parents=True)
    await asyncio.to_thread(backup, sqlite_home.directory, copy.directory / NAME)
    assert await actions(await copy.open()) == before
    await copy.close()
