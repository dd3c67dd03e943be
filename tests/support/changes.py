"""Changes to a store, in few words."""

from collections.abc import Sequence

from orderintake_server.domain import (
    Cancelled,
    Completion,
    Ending,
    Event,
    Failure,
    Lease,
    NewOrder,
    Operator,
    Order,
    QueueEntry,
    Ranking,
    Receipt,
    State,
    Tier,
)
from orderintake_server.errors import RequestIdReused
from orderintake_server.ids import NEWEST
from orderintake_server.store.base import Store
from orderintake_server.store.changes import (
    Cancel,
    Capacity,
    Changes,
    Committed,
    OverCapacity,
    Page,
    Pause,
    Prune,
    Settlement,
)
from orderintake_server.views import EVERY_ORDER, CountsByTier, OperatorAction

PLENTY = 1_000_000
"""More of anything than a test has."""
AMPLE = Capacity(total=PLENTY, regular=PLENTY)
FRONT = QueueEntry(-1, 0, Tier.VIP, 0)
"""The place before all who wait."""
FAILURE = Failure(code="HANDLER_ERROR", message="LookupError: no such article")
DONE = Ending()
BOSS = Operator(name="boss", credential="key", peer="ipv4:192.0.2.7:51234")
"""Who does what operators do."""
FAILED = Ending(event=Event.FAIL, failure=FAILURE)


def again(after: int = 0) -> Ending:
    """End an attempt that failed, with another one in `after` microseconds."""
    return Ending(event=Event.RETRY, failure=FAILURE, retry_after=after)


def new(  # noqa: PLR0913 - whatever can be said of an order
    content: bytes = b"tea",
    *,
    vip: bool = False,
    customer_id: str = "ada",
    request_id: str | None = None,
    not_before: int = 0,
    expire_time: int = 0,
    redrive_of: int = 0,
    trace: bytes | None = None,
    by: Operator | None = None,
) -> NewOrder:
    """Make an order to be accepted."""
    return NewOrder(
        customer_id=customer_id,
        request_id=request_id,
        tier=Tier.VIP if vip else Tier.REGULAR,
        content=content,
        not_before=not_before,
        expire_time=expire_time,
        redrive_of=redrive_of,
        trace=trace,
        by=by,
    )


def strictly(accept_sequence: int, *, vip: bool = False, crash_count: int = 0) -> QueueEntry:
    """Write the place of an order in a queue that is strictly by tier."""
    tier = Tier.VIP if vip else Tier.REGULAR
    return QueueEntry(Ranking().rank(tier, accept_sequence, 0), accept_sequence, tier, crash_count)


def waits(counts: CountsByTier) -> int:
    """Count who waits, in the queue or for a time to come."""
    return sum(counts.queued + counts.scheduled for counts in counts.values())


async def accept(
    store: Store, *groups: Sequence[NewOrder], capacity: int | Capacity = AMPLE
) -> list[tuple[Receipt, ...] | RequestIdReused | OverCapacity]:
    """Ask for groups of orders to be accepted by one commit."""
    left = Capacity(total=capacity, regular=capacity) if isinstance(capacity, int) else capacity
    return (await store.commit(Changes(accepts=groups, capacity=left))).accepted


async def place(store: Store, *orders: NewOrder) -> tuple[Receipt, ...]:
    """Place one group of orders, which must be accepted."""
    (receipts,) = await accept(store, orders)
    assert isinstance(receipts, tuple), receipts
    return receipts


async def waiting(
    store: Store, *, after: QueueEntry = FRONT, limit: int = PLENTY
) -> list[QueueEntry]:
    """Tell who waits behind a place, most urgent first."""
    return (await store.commit(Changes(page=Page(after=after, limit=limit)))).page


async def queue(store: Store) -> list[int]:
    """Tell which orders wait, most urgent first."""
    return [place.accept_sequence for place in await waiting(store)]


async def claim(store: Store, *claims: QueueEntry) -> list[Lease | None]:
    """Ask for these orders to be started."""
    return (await store.commit(Changes(claims=claims))).claimed


async def start(store: Store, count: int = 1) -> list[Lease]:
    """Start the most urgent orders, which must be there."""
    leases = await claim(store, *await waiting(store, limit=count))
    started = [lease for lease in leases if lease]
    assert len(started) == count
    return started


async def settle(store: Store, *leases: Lease, ending: Ending = DONE) -> list[State | None]:
    """Ask for these attempts to end all in one way."""
    settles = [Settlement(lease=lease, ending=ending) for lease in leases]
    return (await store.commit(Changes(settles=settles))).settled


async def release(store: Store, *leases: Lease) -> list[State | None]:
    """Ask for these orders to wait again."""
    return (await store.commit(Changes(releases=leases))).released


async def cancel(
    store: Store, *accept_sequences: int, by: Operator | None = None
) -> list[Cancelled | None]:
    """Ask for these orders to be cancelled."""
    cancels = [Cancel(number, by) for number in accept_sequences]
    return (await store.commit(Changes(cancels=cancels))).cancelled


async def pause(
    store: Store, tier: Tier, *, is_paused: bool = True, by: Operator | None = None
) -> Committed:
    """Pause a tier, or resume it."""
    return await store.commit(Changes(pauses=[Pause(tier, is_paused, by)]))


async def actions(
    store: Store, accept_sequence: int | None = None, *, limit: int = PLENTY
) -> list[OperatorAction]:
    """Read all that operators did, the oldest first, page by page."""
    found: list[OperatorAction] = []
    goes_on = True
    while goes_on:
        before = found[-1].sequence if found else NEWEST
        page, goes_on = await store.list_actions(accept_sequence, before=before, limit=limit)
        assert len(page) <= limit
        found += page
    return found[::-1]


def told(actions: Sequence[OperatorAction]) -> list[tuple[str, str, object]]:
    """Say of each action what was done, by whom, and to what."""
    return [(each.action.name, each.by.name, each.tier or each.accept_sequence) for each in actions]


async def prune(
    store: Store, before: int, *, requests_before: int | None = None, limit: int = PLENTY
) -> Committed:
    """Forget what ended before a time."""
    wanted = Prune(completed_before=before, requests_before=requests_before, limit=limit)
    return await store.commit(Changes(prune=wanted))


async def look(store: Store) -> Committed:
    """Let the store do what is due."""
    return await store.commit(Changes())


async def whole_log(store: Store, *, after: int = 0) -> list[Completion]:
    """Read every completion there is behind a place."""
    page = await store.read_log(EVERY_ORDER, after=after, limit=PLENTY, max_bytes=PLENTY * 1000)
    return page.completions


async def log_of(store: Store) -> list[tuple[int, State]]:
    """Tell which orders ended, and how, in that order."""
    return [(end.order.accept_sequence, end.order.state) for end in await whole_log(store)]


async def state(store: Store, accept_sequence: int) -> State:
    """Tell how an order stands, which there must be."""
    return (await order(store, accept_sequence)).state


async def position(store: Store, accept_sequence: int) -> int:
    """Tell an order's place in the queue; it stands there, or has none."""
    located = await store.locate(accept_sequence)
    if located is None:
        return 0
    assert located.stands == await store.find(accept_sequence)
    is_queued = getattr(located.stands, "state", None) is State.QUEUED
    assert is_queued == (located.position > 0)
    return located.position


async def order(store: Store, accept_sequence: int) -> Order:
    """Read an order as it stands, which there must be."""
    found = await store.find(accept_sequence)
    assert found is not None
    return found.order if isinstance(found, Completion) else found


async def complete(store: Store, *orders: NewOrder, ending: Ending = DONE) -> int:
    """Place, start and end these orders; return the head of the log then."""
    await place(store, *orders)
    await settle(store, *await start(store, len(orders)), ending=ending)
    return (await store.commit(Changes())).head
