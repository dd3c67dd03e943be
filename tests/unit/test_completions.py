"""The log's head: who is woken by what, and that nothing is read for nobody."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderintake_server.domain import Tier
from orderintake_server.store.sqlite.store import SqliteStore, sqlite_store
from orderintake_server.stream import pages
from orderintake_server.stream.log import CompletionLog, Woken
from orderintake_server.stream.ring import Ring
from orderintake_server.stream.subscription import Subscription
from orderintake_server.views import EVERY_ORDER, LogPage, OrderFilter, Subscribe
from support.changes import complete, new, prune, whole_log
from support.clocks import Microseconds
from support.completed import encode, sequences

FOREVER = 3600.0
BOBS = OrderFilter(customer_id="bob")
VIPS = OrderFilter(tier=Tier.VIP)
BOBS_VIPS = OrderFilter(customer_id="bob", tier=Tier.VIP)


class Observed(SqliteStore):
    """Lets a test hold back what is read of the log."""

    reads = 0
    gate: asyncio.Event | None = None
    has_read: asyncio.Event | None = None

    async def read_log(self, wanted: OrderFilter, **how: Any) -> LogPage[Any]:  # noqa: ANN401
        self.reads += 1
        page = await super().read_log(wanted, **how)
        if self.gate is not None and self.has_read is not None:
            self.has_read.set()
            await self.gate.wait()
        return page


@pytest.fixture
def observed(store: SqliteStore) -> Observed:
    store.__class__ = Observed
    assert isinstance(store, Observed)
    return store


@asynccontextmanager
async def running(store: SqliteStore, ring: Ring | None = None) -> AsyncIterator[CompletionLog]:
    completions = CompletionLog(store, encode, head=0, earliest=0, ring=ring)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(completions.run())
        yield completions
        completions.close()


async def settled() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def waiting(completions: CompletionLog, *filters: OrderFilter) -> list[asyncio.Task[Woken]]:
    return [asyncio.create_task(completions.wait(each, seconds=FOREVER)) for each in filters]


async def test_each_is_woken_by_what_it_wants_and_knows_what_it_did_not_miss(
    store: SqliteStore,
) -> None:
    async with running(store) as completions:
        with completions.subscriber():
            every, bobs, vips, both = waiting(completions, EVERY_ORDER, BOBS, VIPS, BOBS_VIPS)
            await settled()
            completions.publish(await complete(store, new(), new()))
            assert await every == Woken(0)
            completions.publish(await complete(store, new(), new(customer_id="bob"), new()))
            assert await bobs == Woken(3)
            completions.publish(await complete(store, new(vip=True)))
            assert await vips == Woken(5)
            assert not both.done()
            completions.publish(await complete(store, new(customer_id="bob", vip=True)))
            assert await both == Woken(6)
            assert completions._waiting == {}  # noqa: SLF001 - nothing else tells of a leak


async def test_who_waits_in_vain_is_told_how_far_nothing_came(store: SqliteStore) -> None:
    async with running(store) as completions:
        with completions.subscriber():
            (every,) = waiting(completions, EVERY_ORDER)
            await settled()
            completions.publish(await complete(store, new(), new()))
            await every
            assert await completions.wait(BOBS, seconds=0) == Woken(2, is_silent=True)


async def test_who_leaves_while_it_waits_leaves_nothing_behind(store: SqliteStore) -> None:
    async with running(store) as completions:
        tasks = waiting(completions, EVERY_ORDER, BOBS, BOBS)
        await settled()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert completions._waiting == {}  # noqa: SLF001 - nothing else tells of a leak


async def test_while_nobody_subscribes_nobody_reads(observed: Observed) -> None:
    async with running(observed) as completions:
        completions.publish(await complete(observed, new(), new()))
        await settled()
        assert observed.reads == 0
        with completions.subscriber():
            assert (completions.ring.start, completions.ring.end) == (2, 2)
            (every,) = waiting(completions, EVERY_ORDER)
            await settled()
            completions.publish(await complete(observed, new()))
            assert await every == Woken(2)
        assert observed.reads == 1
        assert completions.subscribers == 0


async def test_what_was_read_for_those_who_left_is_not_told_to_those_who_came(
    observed: Observed,
) -> None:
    observed.gate, observed.has_read = asyncio.Event(), asyncio.Event()
    async with running(observed) as completions:
        with completions.subscriber():
            completions.publish(await complete(observed, new()))
            await observed.has_read.wait()
        completions.publish(await complete(observed, new()))
        with completions.subscriber():
            (every,) = waiting(completions, EVERY_ORDER)
            observed.gate.set()
            await settled()
            assert (completions.ring.start, completions.ring.end) == (2, 2)
            completions.publish(await complete(observed, new()))
            assert await every == Woken(2)


async def test_what_was_pruned_before_it_was_read_is_left_to_who_wants_it(
    store: SqliteStore,
) -> None:
    async with running(store) as completions:
        with completions.subscriber():
            (bobs,) = waiting(completions, BOBS)
            await settled()
            head = await complete(store, *[new()] * 3)
            await prune(store, 2**60)
            completions.publish(head)
            assert await bobs == Woken(0)
            assert completions.ring.start == 3


async def test_the_end_wakes_all_once_what_completed_before_was_told(store: SqliteStore) -> None:
    async with running(store) as completions:
        with completions.subscriber():
            every, bobs = waiting(completions, EVERY_ORDER, BOBS)
            await settled()
            completions.publish(await complete(store, new()))
            completions.close()
            assert await every == Woken(0)
            assert await bobs == Woken(0)
            assert completions.is_over
            assert completions.ring.end == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("complete"), st.integers(1, 6), st.sampled_from(["ada", "bob"])),
        st.tuples(st.just("read"), st.integers(0, 4), st.integers(1, 4)),
        st.tuples(st.just("return"), st.integers(0, 4), st.just(0)),
    ),
    max_size=30,
)
LISTENERS = [(EVERY_ORDER, 100), (EVERY_ORDER, 1), (BOBS, 2), (VIPS, 100), (BOBS_VIPS, 3)]


class Listener:
    """A subscriber that is never patient, and what it was told."""

    def __init__(self, completions: CompletionLog, wanted: OrderFilter, limit: int) -> None:
        self.completions, self.wanted, self.limit = completions, wanted, limit
        self.position = 0
        self.found: list[int] = []
        self.come()

    def come(self) -> None:
        """Come, or come back behind what was told last."""
        self.subscription = Subscription(
            self.completions,
            Subscribe(
                wanted=self.wanted, start=self.position, limit=self.limit, heartbeat_seconds=0
            ),
            after=self.position,
        )

    async def read(self) -> None:
        delivery = await self.subscription.next()
        found = sequences(delivery.completions)
        assert self.position <= delivery.position <= self.completions.head
        assert all(self.position < sequence <= delivery.position for sequence in found)
        assert len(found) <= self.limit
        self.found += found
        self.position = delivery.position


async def _walk(steps: list[tuple[str, int, int | str]], data: Path) -> None:
    async with (
        sqlite_store(data, clock=Microseconds()) as store,
        running(store, Ring(0, most_entries=4)) as completions,
    ):
        with completions.subscriber():
            listeners = [Listener(completions, *each) for each in LISTENERS]
            for verb, which, what in steps:
                if verb == "complete":
                    orders = [new(customer_id=str(what), vip=n % 3 == 0) for n in range(which)]
                    completions.publish(await complete(store, *orders))
                elif verb == "read":
                    for _ in range(int(what)):
                        await listeners[which].read()
                else:
                    listeners[which].come()
            log = await whole_log(store)
            for listener in listeners:
                while listener.position < completions.head:
                    await listener.read()
                wanted = [each.sequence for each in log if listener.wanted.wants(each.order)]
                assert listener.found == wanted


@settings(max_examples=60 * settings().max_examples // 100)
@given(steps=STEPS)
def test_p14_whoever_comes_goes_and_comes_back_sees_each_completion_once(
    steps: list[tuple[str, int, int | str]],
) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(pages, "MEETING", 5)
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            loop.run_until_complete(_walk(steps, Path(folder)))
