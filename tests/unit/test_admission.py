"""P5: how many more orders may wait, and what is told of a refusal."""

import pytest

from orderintake_server.dispatch.admission import Admission, Limits
from orderintake_server.dispatch.rate import MOST_SECONDS, DequeueRate
from orderintake_server.domain import NewOrder, Tier
from orderintake_server.errors import CustomerQuota, InvalidOrder, QueueFull
from orderintake_server.store.changes import Capacity, OverCapacity
from orderintake_server.views import CountsByTier, TierCounts
from support.changes import new
from support.clocks import Seconds


def counts(vip: TierCounts | None = None, regular: TierCounts | None = None) -> CountsByTier:
    return {Tier.VIP: vip or TierCounts(), Tier.REGULAR: regular or TierCounts()}


def capacity(
    limits: Limits, found: CountsByTier | None = None, clock: Seconds | None = None
) -> Admission:
    return Admission(limits, counts=found or counts(), drain=DequeueRate(clock or Seconds()))


def test_what_is_queued_or_scheduled_in_any_tier_takes_room_and_what_runs_none() -> None:
    found = counts(
        vip=TierCounts(queued=1, scheduled=2, processing=100),
        regular=TierCounts(queued=3, scheduled=4),
    )
    assert capacity(Limits(queue=50), found).capacity() == Capacity(
        total=40, regular=40, waiting=10
    )


def test_of_the_room_vip_orders_have_their_reserve() -> None:
    here = capacity(Limits(queue=10, vip_reserve=3), counts(regular=TierCounts(queued=6)))
    assert here.capacity() == Capacity(total=4, regular=1, waiting=6)
    here.count(counts(regular=TierCounts(queued=7)), started=0)
    assert here.capacity() == Capacity(total=3, regular=0, waiting=7)
    here.count(counts(vip=TierCounts(queued=3), regular=TierCounts(queued=7)), started=0)
    assert here.capacity() == Capacity(total=0, regular=-3, waiting=10)


def test_after_a_limit_was_lowered_there_is_less_than_none() -> None:
    found = counts(regular=TierCounts(queued=50))
    assert capacity(Limits(queue=10), found).capacity() == Capacity(
        total=-40, regular=-40, waiting=50
    )


def test_the_limit_of_one_customer_is_told_to_the_store() -> None:
    assert capacity(Limits(per_customer=7)).capacity().per_customer == 7
    assert capacity(Limits()).capacity().per_customer is None


def test_the_refusal_of_a_full_queue_tells_how_many_wait_and_may() -> None:
    here = capacity(Limits(queue=10, vip_reserve=2), counts(regular=TierCounts(queued=8)))
    refusal = here.refusal(OverCapacity(1))
    assert isinstance(refusal, QueueFull)
    assert refusal.text.startswith("8 orders wait; 10 may wait, and 2 of these are reserved")
    assert refusal.retry_after == MOST_SECONDS


def test_the_refusal_of_one_customer_names_it_and_its_limit() -> None:
    refusal = capacity(Limits(per_customer=3)).refusal(OverCapacity(1, "ada"))
    assert isinstance(refusal, CustomerQuota)
    assert refusal.subject == "ada"
    assert refusal.text.startswith("3 orders of one customer")


def test_room_is_promised_by_the_rate_at_which_orders_start() -> None:
    clock = Seconds()
    here = capacity(Limits(queue=10), clock=clock)
    for _ in range(100):
        clock.turn(0.1)
        here.count(counts(regular=TierCounts(queued=10)), started=1)
    refusal = here.refusal(OverCapacity(20))
    assert isinstance(refusal, QueueFull)
    assert refusal.retry_after == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(
    ("over", "group", "limit"),
    [
        (OverCapacity(11), [new()] * 11, "queue_limit"),
        (OverCapacity(9), [new()] * 9, "queue_limit"),
        (OverCapacity(11), [new(vip=True)] * 11, "queue_limit"),
        (OverCapacity(4, "ada"), [new()] * 4, "customer_queue_limit"),
    ],
)
def test_a_batch_that_is_over_a_limit_by_itself_is_refused_for_good(
    over: OverCapacity, group: list[NewOrder], limit: str
) -> None:
    here = capacity(Limits(queue=10, vip_reserve=2, per_customer=3))
    refusal = here.refusal(over, group)
    assert isinstance(refusal, InvalidOrder)
    assert [violation.field for violation in refusal.violations] == ["requests"]
    assert f"({limit})" in refusal.text


def test_orders_redriven_together_that_are_over_a_limit_name_how_many_they_may_be() -> None:
    refusal = capacity(Limits(queue=10)).refusal(OverCapacity(11), [new(redrive_of=7)] * 11)
    assert isinstance(refusal, InvalidOrder)
    assert [violation.field for violation in refusal.violations] == ["max_orders"]


@pytest.mark.parametrize(
    ("over", "group"),
    [
        (OverCapacity(8), [new()] * 8),
        (OverCapacity(9), [new(vip=True)] * 9),
        (OverCapacity(9), [new(vip=True)] * 9 + [new()] * 3),  # what is regular may be repeats
        (OverCapacity(3, "ada"), [new()] * 3),
        (OverCapacity(1), [new()]),
    ],
)
def test_a_batch_that_would_fit_at_another_time_is_told_to_come_back(
    over: OverCapacity, group: list[NewOrder]
) -> None:
    here = capacity(Limits(queue=10, vip_reserve=2, per_customer=3))
    assert not isinstance(here.refusal(over, group), InvalidOrder)
