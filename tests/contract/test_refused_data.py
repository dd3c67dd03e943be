"""P22: what the engine itself does not take refuses its own change only; the store goes on."""

import sqlite3

import pytest

from orderintake_server.domain import Ending, NewOrder, State
from orderintake_server.errors import StoreRefused
from orderintake_server.store.changes import Changes, Settlement
from support.changes import (
    AMPLE,
    DONE,
    FAILED,
    look,
    new,
    place,
    settle,
    start,
    state,
    waiting,
    whole_log,
)
from support.stores import FoundStore, Home, SqliteHome

BAD = b"guilty"


async def test_an_order_that_is_refused_leaves_nothing_and_the_next_one_is_accepted(
    home: Home, store: FoundStore
) -> None:
    await place(store, new())
    with home.refusing("orders", "content", BAD):
        for _ in range(2):
            with pytest.raises(StoreRefused):
                await place(store, new(BAD, request_id="r"))
        (receipt,) = await place(store, new())
    assert receipt.order.accept_sequence == 2
    assert len(await waiting(store)) == 2
    assert len(await waiting(await home.crash())) == 2


async def test_a_refused_commit_undoes_what_else_it_was_asked(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(), new())
    one, other = await start(store, 2)
    changes = Changes(
        settles=[Settlement(lease=one, ending=Ending(result=BAD))],
        releases=[other],
        accepts=[[new()]],
        capacity=AMPLE,
    )
    with home.refusing("log", "result", BAD):
        with pytest.raises(StoreRefused):
            await store.commit(changes)
        assert [await state(store, n) for n in (1, 2)] == [State.PROCESSING] * 2
        assert (await look(store)).head == 0
        assert await settle(store, one, ending=FAILED) == [State.FAILED]
        assert await settle(store, other, ending=DONE) == [State.SUCCEEDED]
    assert [end.sequence for end in await whole_log(store)] == [1, 2]
    (receipt,) = await place(store, new())
    assert receipt.order.accept_sequence == 3


@pytest.mark.parametrize(
    "order",
    [
        new(not_before=2**70),
        new(expire_time=2**64),
        new(customer_id="\udc80"),
        new(request_id="\udc80"),
        new(content="text"),  # type: ignore[arg-type] # it is what is wrong with it
    ],
    ids=["not_before", "expire_time", "customer_id", "request_id", "content"],
)
async def test_a_value_that_no_column_holds_is_refused(store: FoundStore, order: NewOrder) -> None:
    with pytest.raises(StoreRefused):
        await place(store, order)
    (receipt,) = await place(store, new())
    assert receipt.order.accept_sequence == 1


async def test_what_is_too_big_for_sqlite_is_refused(sqlite_home: SqliteHome) -> None:
    store = await sqlite_home.open()
    connection = store._writer._connection  # noqa: SLF001 - it has the limit
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
    with pytest.raises(StoreRefused):
        await place(store, new(b"x" * 20_000))
    assert len(await place(store, new())) == 1


async def test_which_request_ids_are_known_is_told_of_each_customer(store: FoundStore) -> None:
    await place(store, new(request_id="a"), new(customer_id="bob", request_id="b"))
    names = [("ada", "a"), ("ada", "b"), ("bob", "b"), ("eve", "a")]
    assert await store.known_requests(names) == {("ada", "a"), ("bob", "b")}
    assert await store.known_requests([("ada", "c")]) == set()
