"""The front of the queue in memory: always the most urgent there is, and never too much of it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orderintake_server.dispatch.ready import ReadyQueue
from orderintake_server.domain import QueueEntry, Tier
from orderintake_server.store.changes import Page
from support.changes import strictly as order

TIERS = st.lists(st.sampled_from(Tier), min_size=1, max_size=12)
Told = tuple[list[QueueEntry], frozenset[Tier], Page | None, list[QueueEntry]]


def read(
    held: list[QueueEntry], page: Page, paused: frozenset[Tier] = frozenset()
) -> list[QueueEntry]:
    """Read a page as a store with these orders would."""
    after = [place for place in sorted(held) if place[:2] > page.after[:2]]
    return [place for place in after if place.tier not in paused][: page.limit]


def filled(ready: ReadyQueue, *found: QueueEntry) -> ReadyQueue:
    """Give the queue the page it asks for."""
    page = ready.missing()
    assert page is not None
    ready.fill(page, list(found))
    return ready


class ReadyMachine(RuleBasedStateMachine):
    """A queue, the store behind it, and a committer that commits in two steps: asked, and told."""

    @initialize(found=st.lists(st.sampled_from(Tier), max_size=20), window=st.integers(1, 5))
    def begin(self, found: list[Tier], window: int) -> None:
        self.window = window
        self.ready = ReadyQueue(window=window)
        self.accepted = 0
        self.stored: list[QueueEntry] = []
        self.known: set[QueueEntry] = set()
        self.running: list[QueueEntry] = []
        self.inbox: list[QueueEntry] = []
        self.claims: list[QueueEntry] = []
        self.asked = self.paused = self.told = frozenset[Tier]()
        self.committing: Told | None = None
        self.accept(found)
        self.stored, self.inbox = self.inbox, []
        self.known = set(self.stored)

    @rule(tiers=TIERS)
    def accept(self, tiers: list[Tier]) -> None:
        for tier in tiers:
            self.accepted += 1
            self.inbox.append(order(self.accepted, vip=tier is Tier.VIP))

    @rule(tiers=st.frozensets(st.sampled_from(Tier)))
    def pause(self, tiers: frozenset[Tier]) -> None:
        self.asked = tiers

    @precondition(lambda self: len(self.ready) > 0)
    @rule()
    def pop(self) -> None:
        assert self.ready.first() == min(self.startable())
        place = self.ready.pop()
        assert place == min(self.startable())
        self.known.remove(place)
        self.claims.append(place)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 100), crashes=st.integers(0, 2))
    def release(self, which: int, crashes: int) -> None:
        place = self.running.pop(which % len(self.running))
        self.inbox.append(place._replace(crash_count=crashes))

    @precondition(lambda self: self.committing is None)
    @rule()
    def commit(self) -> None:
        page = self.ready.missing()
        self.paused = self.asked
        self.running += self.claims
        self.stored = [place for place in self.stored if place not in self.claims] + self.inbox
        found = read(self.stored, page, self.paused) if page else []
        self.committing = (self.inbox, self.paused, page, found)
        self.inbox, self.claims = [], []

    @precondition(lambda self: self.committing is not None)
    @rule()
    def tell(self) -> None:
        assert self.committing is not None
        pushed, self.told, page, found = self.committing
        self.committing = None
        self.ready.pause(self.told)
        for place in pushed:
            self.ready.push(place)
        if page:
            self.ready.fill(page, found)
        self.known |= set(pushed)

    @precondition(lambda self: self.committing is None)
    @rule()
    def commit_until_nothing_is_missing(self) -> None:
        while True:
            self.commit()
            self.tell()
            if self.ready.missing() is None:
                break
        startable = self.startable()
        assert len(self.ready) >= min(len(startable), self.window // 2)
        assert bool(len(self.ready)) == bool(startable)

    def startable(self) -> set[QueueEntry]:
        """Tell what may start, as far as the queue was told."""
        return {place for place in self.known if place.tier not in self.told}

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.ready) <= 2 * self.window


TestReadyMachine = ReadyMachine.TestCase
TestReadyMachine.settings = settings(stateful_step_count=60)


def test_what_was_pushed_before_anything_was_read_is_in_the_store_only() -> None:
    ready = ReadyQueue()
    ready.push(order(1))
    assert ready.first() is None
    filled(ready, order(1))
    assert ready.first() == order(1)


def test_looking_at_the_first_leaves_it_there() -> None:
    ready = filled(ReadyQueue(), order(1), order(2))
    assert ready.first() == ready.first() == ready.pop() == order(1)
    assert ready.pop() == order(2)
    assert ready.first() is None


def test_pains_10_each_of_many_equal_orders_comes_in_its_turn() -> None:
    ready = filled(ReadyQueue(), *[order(number) for number in range(1, 1001)])
    assert [ready.pop().accept_sequence for _ in range(1000)] == list(range(1, 1001))


def test_at_first_everything_is_in_the_store() -> None:
    ready = ReadyQueue(window=3)
    page = ready.missing()
    assert page is not None
    assert page.limit == 3
    assert page.after < order(1, vip=True)
    assert len(ready) == 0


def test_a_short_page_means_that_all_is_here() -> None:
    ready = filled(ReadyQueue(window=3), order(1), order(2))
    assert ready.missing() is None
    ready.push(order(3))
    assert len(ready) == 3


def test_the_next_page_is_wanted_when_half_of_one_is_left() -> None:
    ready = filled(ReadyQueue(window=4), *[order(number) for number in range(1, 5)])
    assert ready.missing() is None
    ready.pop()
    assert ready.missing() is None
    ready.pop()
    assert ready.missing() == Page(after=order(4), limit=4)


def test_a_page_asked_before_the_horizon_moved_is_left_out() -> None:
    ready = filled(ReadyQueue(window=2), order(11), order(12))
    ready.pop()
    page = ready.missing()
    assert page is not None
    for number in range(1, 5):
        ready.push(order(number, vip=True))  # now it is cut, and 12 is in the store only
    ready.fill(page, [order(13), order(14)])
    assert [ready.pop().accept_sequence for _ in range(len(ready))] == [1, 2]


def test_an_order_that_comes_back_after_a_crash_has_its_old_place() -> None:
    ready = filled(ReadyQueue(window=2), order(1), order(2))
    last = ready.pop(), ready.pop()
    ready.push(last[1]._replace(crash_count=1))  # it is the horizon itself
    assert ready.pop() == order(2, crash_count=1)


# P7: tiers paused and resumed


def test_a_paused_tier_is_in_the_store_only() -> None:
    ready = filled(ReadyQueue(), order(1, vip=True), order(2), order(3, vip=True))
    ready.pause(frozenset({Tier.VIP}))
    assert ready.first() is None
    ready.push(order(4, vip=True))
    filled(ready, order(2))
    ready.push(order(5, vip=True))
    ready.push(order(6))
    assert [ready.pop().accept_sequence for _ in range(len(ready))] == [2, 6]


def test_a_resumed_tier_is_read_from_the_store_anew() -> None:
    ready = filled(ReadyQueue(), order(2))
    ready.pause(frozenset({Tier.VIP}))
    filled(ready, order(2))
    ready.pause(frozenset())
    filled(ready, order(1, vip=True), order(2), order(3, vip=True))
    assert [ready.pop().accept_sequence for _ in range(3)] == [1, 3, 2]


def test_pausing_what_is_paused_changes_nothing() -> None:
    ready = ReadyQueue()
    ready.pause(frozenset({Tier.VIP}))
    filled(ready, order(2))
    ready.pause(frozenset({Tier.VIP}))
    assert ready.missing() is None
    assert ready.first() == order(2)


def test_a_page_that_was_asked_before_a_pause_is_left_out() -> None:
    ready = filled(ReadyQueue(window=2), order(1), order(2))
    ready.pop()
    page = ready.missing()
    assert page is not None
    ready.pause(frozenset({Tier.REGULAR}))
    ready.fill(page, [order(3), order(4)])
    assert ready.first() is None
    assert ready.missing() is not None
