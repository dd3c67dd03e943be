"""P5: the queue is full exactly at its limit, and a full queue still knows what it holds."""

from orderintake_server.store.base import NoRoom
from support.changes import accept, new, place, settle, start, waiting
from support.stores import FoundStore


async def test_the_nth_order_is_accepted_and_the_next_refused(store: FoundStore) -> None:
    outcomes = await accept(store, *([new()] for _ in range(4)), room=3)
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, True, True, False]
    assert outcomes[3] == NoRoom(1)
    assert len(await waiting(store)) == 3


async def test_a_group_fits_exactly_or_not_at_all(store: FoundStore) -> None:
    (refused,) = await accept(store, [new()] * 4, room=3)
    assert refused == NoRoom(4)
    assert await waiting(store) == []
    (accepted,) = await accept(store, [new()] * 3, room=3)
    assert isinstance(accepted, tuple)
    assert len(await waiting(store)) == 3


async def test_a_group_too_large_leaves_its_room_to_the_next(store: FoundStore) -> None:
    outcomes = await accept(store, [new()] * 2, [new()] * 2, [new()], [new()], room=3)
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, False, True, False]


async def test_without_room_nothing_new_is_accepted(store: FoundStore) -> None:
    assert await accept(store, [new()], room=0) == [NoRoom(1)]
    assert await accept(store, [new()], room=-5) == [NoRoom(1)]


async def test_a_replay_needs_no_room(store: FoundStore) -> None:
    tea = new(request_id="r")
    (first,) = await place(store, tea)
    for room in (0, -5):
        (again,) = await accept(store, [tea, tea], room=room)
        assert isinstance(again, tuple)
        assert [receipt.order for receipt in again] == [first.order] * 2


async def test_only_what_is_new_in_a_group_needs_room(store: FoundStore) -> None:
    tea, cake = new(b"tea", request_id="t"), new(b"cake", request_id="c")
    await place(store, tea)
    assert await accept(store, [tea, cake, cake, new()], room=1) == [NoRoom(2)]
    (accepted,) = await accept(store, [tea, cake, cake, new()], room=2)
    assert isinstance(accepted, tuple)
    assert [receipt.replayed for receipt in accepted] == [True, False, True, False]


async def test_a_repeat_in_a_later_group_needs_no_room(store: FoundStore) -> None:
    tea = new(request_id="r")
    outcomes = await accept(store, [tea], [tea], [new()], room=1)
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, True, False]


async def test_a_replay_of_an_ended_order_needs_no_room(store: FoundStore) -> None:
    tea = new(request_id="r")
    await place(store, tea)
    await settle(store, *await start(store))
    (again,) = await accept(store, [tea], room=0)
    assert isinstance(again, tuple)
