"""An answer that cannot be read is the connection's fault: the database is away, nothing ends."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orderintake_server.domain import State, Tier
from orderintake_server.errors import StoreAway
from orderintake_server.store.changes import Changes, ClaimNext, Take
from orderintake_server.store.postgres.connector import Connector
from orderintake_server.store.postgres.store import PostgresStore
from orderintake_server.views import EVERY_ORDER
from support.changes import AMPLE, new, place, queue, state
from support.postgres_home import PostgresHome

JUNK: dict[str, list[Any]] = {
    "no rows": [],
    "an empty row": [()],
    "no text": [(0, None)],
    "no JSON": [(0, "{")],
    "no object": [(0, "7")],
    "an empty object": [(0, "{}")],
    "of a commit that did not say how all stands": [(0, '{"number": 9, "time": 1}')],
    "other types": [(0, '{"number": "9", "queued": 1, "accept_time": [], "durability": "?"}')],
    "half a row": [(2, None, 1), (0, "{}")],
    "no row at all": [None],
}


@pytest.fixture
async def store(postgres_home: PostgresHome) -> PostgresStore:
    """An empty store, of each PostgreSQL in turn."""
    return await postgres_home.open()


def answering(monkeypatch: pytest.MonkeyPatch, rows: list[Any], *, asks_first: bool) -> None:
    """Let every query be answered by these rows, though it may have been asked before."""
    fetch = Connector.fetch

    async def junk(self: Connector, connection: Any, query: str, *values: object) -> Any:  # noqa: ANN401
        if asks_first and "commit_changes" in query:
            await fetch(self, connection, query, *values)
        return rows

    monkeypatch.setattr(Connector, "fetch", junk)


@pytest.mark.parametrize("rows", JUNK.values(), ids=JUNK)
async def test_a_commit_whose_answer_cannot_be_read_is_one_whose_answer_was_lost(
    store: PostgresStore, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ClaimNext(takes=[Take(1)], is_idle=True)
    with monkeypatch.context() as patch:
        answering(patch, rows, asks_first=True)
        accepts = [[new(request_id="once")]]
        with pytest.raises(StoreAway, match="cannot be read"):
            await store.commit(Changes(accepts=accepts, capacity=AMPLE, claim_next=wanted))
    ((receipt,),) = (await store.commit(Changes(accepts=accepts, capacity=AMPLE))).accepted  # type: ignore[misc]
    assert receipt.replayed
    assert await queue(store) == [1]  # what it started is given back: nobody knows of it
    (lease,) = (await store.commit(Changes(claim_next=wanted))).claimed_next
    assert (lease.order.attempt_count, lease.order.start_sequence) == (1, 2)


READS: dict[str, Callable[[PostgresStore], Awaitable[object]]] = {
    "find": lambda store: store.find(1),
    "locate": lambda store: store.locate(1),
    "list_orders": lambda store: store.list_orders(EVERY_ORDER, after=0, limit=5),
    "read_log": lambda store: store.read_log(EVERY_ORDER, after=0, limit=5, max_bytes=1_000),
    "bounds": lambda store: store.bounds(),
    "oldest_waiting": lambda store: store.oldest_waiting(),
    "known_requests": lambda store: store.known_requests({("ada", "once")}),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_a_read_whose_answer_cannot_be_read_finds_the_database_away(
    store: PostgresStore, read: Callable[[PostgresStore], Awaitable[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await place(store, new())
    with monkeypatch.context() as patch:
        answering(patch, [("x",)], asks_first=False)
        with pytest.raises(StoreAway, match="cannot be read"):
            await read(store)
    assert await state(store, 1) is State.QUEUED
    assert Tier.REGULAR in await store.oldest_waiting()
