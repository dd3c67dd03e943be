"""P15: the log is read once for all who are at the same place, and little of it is kept."""

import asyncio

import pytest

from orderintake_server.errors import CursorExpired, StoreAway
from orderintake_server.store.sqlite.store import SqliteStore
from orderintake_server.stream import pages
from orderintake_server.stream.log import CompletionLog
from orderintake_server.stream.pages import SharedPages
from orderintake_server.stream.ring import MESSAGE_BYTES, Cut
from orderintake_server.views import EVERY_ORDER, LogPage, OrderFilter
from support.changes import complete, new, prune
from support.completed import encode, sequences

HEAD = 100


class Log:
    """A log of completions that are numbers, which counts how often it is read."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.size = 1
        self.head = HEAD
        self.fault: Exception | None = None

    async def read(self, after: int, limit: int, max_bytes: int) -> LogPage[bytes]:
        self.reads.append((after, limit))
        assert max_bytes % MESSAGE_BYTES == 0
        limit = min(limit, max(max_bytes // self.size, 1))
        await self.may_go_on.wait()
        if self.fault:
            raise self.fault
        end = min(after + limit, self.head)
        found = [bytes([number]) * self.size for number in range(after + 1, end + 1)]
        return LogPage(completions=found, end=end, goes_on=end < self.head)


async def ask(shared: SharedPages, place: int, *, limit: int) -> Cut:
    """Ask for what is behind a place."""
    return await shared.after(place, limit=limit, head=HEAD)


@pytest.fixture
async def log() -> Log:
    return Log()


@pytest.fixture
def shared(log: Log, monkeypatch: pytest.MonkeyPatch) -> SharedPages:
    """Pages of which three are kept, and none is read ahead."""
    monkeypatch.setattr(pages, "READ_AHEAD", 1)
    return SharedPages(log.read, most_pages=3, most_bytes=50)


async def asking(*asked: asyncio.Task[Cut]) -> None:
    """Let those who ask do so, and wait."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in asked)


async def test_a_page_is_read_once_for_all_who_ask_for_it_meanwhile_or_later(
    log: Log, shared: SharedPages
) -> None:
    log.may_go_on.clear()
    asked = [asyncio.create_task(ask(shared, 5, limit=3)) for _ in range(20)]
    await asking(*asked)
    log.may_go_on.set()
    found = await asyncio.gather(*asked, ask(shared, 5, limit=3))
    assert found == [Cut(bytes([6, 7, 8]), 8)] * 21
    assert len({id(cut) for cut in found}) == 1
    assert await ask(shared, 5, limit=3) is found[0]
    assert log.reads == [(5, 3)]


async def test_who_leaves_while_a_page_is_read_takes_it_from_nobody(
    log: Log, shared: SharedPages
) -> None:
    log.may_go_on.clear()
    first, second = (asyncio.create_task(ask(shared, 0, limit=2)) for _ in range(2))
    await asking(first, second)
    first.cancel()
    log.may_go_on.set()
    assert await second == Cut(bytes([1, 2]), 2)
    assert first.cancelled()
    assert log.reads == [(0, 2)]


async def test_all_who_wait_are_told_of_a_fault_and_later_it_is_tried_again(
    log: Log, shared: SharedPages
) -> None:
    log.fault = StoreAway("PostgreSQL cannot be reached")
    found = await asyncio.gather(
        *(ask(shared, 0, limit=2) for _ in range(5)), return_exceptions=True
    )
    assert found == [log.fault] * 5
    log.fault = None
    assert await ask(shared, 0, limit=2) == Cut(bytes([1, 2]), 2)
    assert log.reads == [(0, 2)] * 2


async def test_a_page_at_the_head_is_read_anew_for_more_may_have_come(
    log: Log, shared: SharedPages
) -> None:
    assert await ask(shared, 98, limit=5) == Cut(bytes([99, 100]), 100)
    log.head = 102
    assert await ask(shared, 98, limit=5) == Cut(bytes([99, 100, 101, 102]), 102)
    log.head = 103
    for _ in range(2):
        assert (await ask(shared, 98, limit=4)).end == 102
    assert len(log.reads) == 3


async def test_so_many_pages_are_kept_that_were_asked_for_last(
    log: Log, shared: SharedPages
) -> None:
    for after in (0, 1, 2, 0, 3, 0):  # there is room for three
        await ask(shared, after, limit=1)
    assert log.reads == [(0, 1), (1, 1), (2, 1), (3, 1)]
    await ask(shared, 1, limit=1)
    assert log.reads[4:] == [(1, 1)]


async def test_so_many_bytes_are_kept_and_no_page_that_is_larger(
    log: Log, shared: SharedPages
) -> None:
    log.size = 20
    for after in (0, 1, 2, 1, 2, 0):  # there is room for two
        await ask(shared, after, limit=1)
    assert log.reads == [(0, 1), (1, 1), (2, 1), (0, 1)]
    log.size = 51
    for _ in range(2):
        await ask(shared, 9, limit=1)
    assert log.reads[4:] == [(9, 1)] * 2


async def test_those_who_began_at_different_places_meet(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MEETING", 10)
    shared = SharedPages(log.read)
    monkeypatch.setattr(pages, "READ_AHEAD", 1)
    for start in (1, 4, 8):
        after = start
        while after < 30:
            cut = await ask(shared, after, limit=5)
            assert list(cut.encoded) == list(range(after + 1, cut.end + 1))
            after = cut.end
    first, second, third = [(1, 5), (6, 4)], [(4, 5), (9, 1)], [(8, 2)]
    both = [(10, 5), (15, 5), (20, 5), (25, 5)]
    assert log.reads == first + both + second + third


# Read ahead


async def test_the_next_pages_are_read_with_one(log: Log) -> None:
    shared = SharedPages(log.read)
    found = [await ask(shared, after, limit=3) for after in range(0, 18, 3)]
    assert [list(cut.encoded) for cut in found] == [
        list(range(cut.end - 2, cut.end + 1)) for cut in found
    ]
    assert log.reads == [(0, 15), (15, 15)]


async def test_near_the_head_no_more_is_read_than_is_asked_for(log: Log) -> None:
    shared = SharedPages(log.read)
    assert (await ask(shared, 86, limit=3)).end == 89
    assert log.reads == [(86, 3)]


async def test_each_page_that_is_read_ahead_fits_in_a_message(log: Log) -> None:
    log.size = MESSAGE_BYTES // 2
    shared = SharedPages(log.read)
    after, ends = 0, []
    while after < 24:
        cut = await ask(shared, after, limit=3)
        assert len(cut.encoded) <= MESSAGE_BYTES
        ends.append(after := cut.end)
    assert ends == list(range(2, 26, 2))
    assert len(log.reads) < len(ends)


async def test_one_that_is_larger_than_a_message_is_a_page(log: Log) -> None:
    log.size = 2 * MESSAGE_BYTES
    shared = SharedPages(log.read)
    assert [(await ask(shared, after, limit=3)).end for after in (0, 1, 2)] == [1, 2, 3]


async def test_of_what_is_read_ahead_at_the_head_nothing_is_kept_that_may_grow(log: Log) -> None:
    log.head = 5
    shared = SharedPages(log.read)
    assert (await ask(shared, 0, limit=2)).end == 2
    log.head = 9
    assert [(await ask(shared, after, limit=2)).end for after in (2, 4)] == [4, 6]
    assert log.reads == [(0, 10), (4, 10)]


async def test_who_never_comes_back_for_what_was_read_ahead_costs_no_more_than_that(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_UNASKED", 10)
    shared = SharedPages(log.read)
    for after in range(0, 90, 10):
        await ask(shared, after, limit=1)
    assert [limit for _, limit in log.reads] == [5, 5, 5, 1, 1, 1, 1, 1, 1]
    for after in range(1, 5):
        await ask(shared, after, limit=1)
    await ask(shared, 95, limit=1)
    assert log.reads[9:] == [(95, 5)]


# Over a real log


@pytest.fixture
async def completions(store: SqliteStore) -> CompletionLog:
    """A log of ten completions that nobody followed."""
    head = await complete(store, *[new()] * 5, new(customer_id="bob"), *[new()] * 4)
    return CompletionLog(store, encode, head=head, earliest=0)


async def told(completions: CompletionLog, wanted: OrderFilter = EVERY_ORDER) -> list[int]:
    """Read the page after the second completion."""
    return sequences((await completions.pages.cut(wanted, after=2, limit=5)).encoded)


async def test_p17_what_was_pruned_is_refused_though_its_page_is_kept(
    store: SqliteStore, completions: CompletionLog
) -> None:
    assert await told(completions) == [3, 4, 5, 6, 7]
    await prune(store, 2**60, limit=4)
    completions.note_pruned(4)
    with pytest.raises(CursorExpired) as expired:
        await told(completions)
    assert expired.value.earliest == 4
    found = await completions.pages.cut(EVERY_ORDER, after=2, limit=5, from_earliest=True)
    assert sequences(found.encoded) == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("size", [10, 60_000])
@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_p14_page_by_page_each_completion_is_read_once(
    store: SqliteStore, completions: CompletionLog, size: int, limit: int
) -> None:
    head = await complete(store, *[new(b"x" * size)] * 20)
    for _ in range(2):
        found, after = list[int](), 0
        while after < head:
            cut = await completions.pages.cut(EVERY_ORDER, after=after, limit=limit)
            assert len(cut.encoded) <= MESSAGE_BYTES
            found += sequences(cut.encoded)
            assert after < cut.end == found[-1]
            after = cut.end
        assert found == list(range(1, head + 1))


async def test_who_wants_some_orders_only_gets_no_page_of_those_who_want_all(
    completions: CompletionLog,
) -> None:
    for _ in range(2):
        assert await told(completions) == [3, 4, 5, 6, 7]
        assert await told(completions, OrderFilter(customer_id="bob")) == [6]
