"""What Hypothesis may ask of a store."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from orderintake_server.domain import Ending, NewOrder, Operator, Ranking, State, Tier
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Cancel, CancelWaiting, Capacity, ClaimNext, Pause, Take
from orderintake_server.views import NEVER, OrderFilter, Selection
from support.changes import AMPLE, BOSS, DONE, FAILED, PLENTY, again, new
from support.clocks import SECOND, Microseconds

MAX_CRASHES = 2
BEGIN = Microseconds().now
TIMES = st.sampled_from([*[0] * 8, *(BEGIN + seconds * SECOND for seconds in (20, 60, 200))])
"""Of orders: few, so that orders with a request_id are often equal; most are for no time."""
SECONDS = st.sampled_from([1, 7, 30])
"""That the clock is turned by."""

LEAPS = st.sampled_from([-100, -30, -7, 1, 30, 300])
"""In seconds, by which the clock is set."""


def _order(
    content: bytes,
    *,
    vip: bool,
    redrive_of: int,
    by: Operator | None,
    **said: Any,  # noqa: ANN401
) -> NewOrder:
    """Make an order whose content tells its tier, as the contract's does."""
    if redrive_of:
        said |= {"redrive_of": redrive_of, "by": by}
    return new(content + (b" for a VIP" if vip else b""), vip=vip, **said)


OPERATORS = st.sampled_from([None, BOSS, replace(BOSS, name="Žofie ☃", credential="open")])
ORDERS = st.builds(
    _order,
    st.sampled_from([b"tea", b"cake", b"x" * 9000]),
    vip=st.booleans(),
    customer_id=st.sampled_from(["ada", "bob"]),
    request_id=st.sampled_from([None, None, "1", "2", "3"]),
    not_before=TIMES,
    expire_time=TIMES,
    trace=st.sampled_from([None, 25 * b"t"]),
    redrive_of=st.sampled_from([0, 0, 0, 1, 2]),
    by=OPERATORS,
)
GROUPS = st.lists(st.lists(ORDERS, min_size=1, max_size=4), min_size=1, max_size=4)
COUNTS = st.one_of(st.just(PLENTY), st.integers(-1, 6))
ROOMS = st.just(AMPLE) | st.builds(
    Capacity, total=COUNTS, regular=COUNTS, per_customer=st.one_of(st.none(), st.integers(0, 9))
)
NUMBERS = st.integers(1, 40)
ENDINGS = st.sampled_from(
    [DONE, FAILED, Ending(result=b"r" * 9000), again(), again(SECOND), again(20 * SECOND)]
)
TIERS = st.sampled_from(Tier)
PAUSES = st.lists(st.builds(Pause, TIERS, st.booleans(), OPERATORS), max_size=3)
CANCELS = st.lists(st.builds(Cancel, NUMBERS, OPERATORS), max_size=6)
CANCELS_WAITING = st.lists(
    st.builds(
        CancelWaiting,
        st.lists(NUMBERS, max_size=9),
        st.sampled_from([replace(BOSS, request_id=name) for name in ("r-1", "r-2")]),
    ),
    max_size=2,
)
POLICIES = st.builds(
    Policy,
    ranking=st.builds(
        Ranking, vip_head_start=st.sampled_from([None, None, 1, 15 * SECOND, 3600 * SECOND])
    ),
    max_crashes=st.just(MAX_CRASHES),
    counts_customers=st.just(True),  # noqa: FBT003 - it is a value that hypothesis passes on
)
FILTERS = st.builds(
    OrderFilter,
    customer_id=st.sampled_from([None, "ada", "bob", "eve"]),
    tier=st.one_of(st.none(), TIERS),
    state=st.one_of(st.none(), st.sampled_from(State)),
)

NEXT = st.builds(
    ClaimNext,
    takes=st.integers(1, 4).map(lambda most: [Take(most)]),
    is_idle=st.booleans(),
    alone=st.integers(1, 3) | st.just(1_000_000),
)
"""Workers that are free, and from how many crashes on an order starts alone."""

_MOMENTS = [BEGIN + seconds * SECOND for seconds in (10, 30, 100)]
SELECTIONS = st.builds(
    Selection,
    customer_id=st.sampled_from([None, None, "ada", "bob", "eve"]),
    tier=st.none() | TIERS,
    since=st.sampled_from([0, 0, *_MOMENTS]),
    until=st.sampled_from([NEVER, NEVER, *_MOMENTS]),
    codes=st.sampled_from([(), (), ("HANDLER_ERROR",), ("QUARANTINED", "HANDLER_ERROR"), ("?",)]),
    numbers=st.none() | st.lists(NUMBERS, max_size=9).map(tuple),
    has_labels=st.sampled_from([None, None, lambda content: b"tea" in content]),
    is_redriven_too=st.booleans(),
)
"""Of failures, and but for codes and numbers of orders that wait."""
