"""Changes to a store, in few words."""

from collections.abc import Sequence

from orderintake_server.domain import Completion, Ending, Failure, NewOrder, Receipt, Tier, Waiting
from orderintake_server.errors import RequestIdReused
from orderintake_server.store.base import Changes, Lease, NoRoom, Page, Settlement, Store

PLENTY = 1_000_000
"""More of anything than a test has."""
FRONT = Waiting(-1, 0, 0)
"""The place before all who wait."""
DONE = Ending()
FAILED = Ending(failure=Failure(code="HANDLER_ERROR", message="LookupError: no such article"))


def new(
    content: bytes = b"tea",
    *,
    vip: bool = False,
    customer_id: str = "ada",
    request_id: str | None = None,
) -> NewOrder:
    """Make an order to be accepted."""
    return NewOrder(
        customer_id=customer_id,
        request_id=request_id,
        tier=Tier.VIP if vip else Tier.REGULAR,
        content=content,
    )


async def accept(
    store: Store, *groups: Sequence[NewOrder], room: int = PLENTY
) -> list[tuple[Receipt, ...] | RequestIdReused | NoRoom]:
    """Ask for groups of orders to be accepted by one commit."""
    return (await store.commit(Changes(accepts=groups, room=room))).accepted


async def place(store: Store, *orders: NewOrder) -> tuple[Receipt, ...]:
    """Place one group of orders, which must be accepted."""
    (receipts,) = await accept(store, orders)
    assert isinstance(receipts, tuple), receipts
    return receipts


async def waiting(store: Store, *, after: Waiting = FRONT, limit: int = PLENTY) -> list[Waiting]:
    """Tell who waits behind a place, most urgent first."""
    return (await store.commit(Changes(page=Page(after=after, limit=limit)))).page


async def claim(store: Store, *claims: Waiting) -> list[Lease | None]:
    """Ask for these orders to be started."""
    return (await store.commit(Changes(claims=claims))).claimed


async def start(store: Store, count: int = 1) -> list[Lease]:
    """Start the most urgent orders, which must be there."""
    leases = await claim(store, *await waiting(store, limit=count))
    started = [lease for lease in leases if lease]
    assert len(started) == count
    return started


async def settle(store: Store, *leases: Lease, ending: Ending = DONE) -> list[int | None]:
    """Ask for these attempts to end all in one way."""
    settles = [Settlement(lease=lease, ending=ending) for lease in leases]
    return (await store.commit(Changes(settles=settles))).settled


async def give_back(store: Store, *leases: Lease) -> list[Waiting | None]:
    """Ask for these orders to wait again."""
    return (await store.commit(Changes(returns=leases))).returned


async def whole_log(store: Store) -> list[Completion]:
    """Read every completion there is."""
    return await store.read_log(after=0, limit=PLENTY, max_bytes=PLENTY * 1000)


async def complete(store: Store, *orders: NewOrder, ending: Ending = DONE) -> int:
    """Place, start and end these orders; return the head of the log then."""
    await place(store, *orders)
    await settle(store, *await start(store, len(orders)), ending=ending)
    return (await store.commit(Changes())).head
