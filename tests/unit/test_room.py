"""P5: how many more orders may wait, and what is told of a refusal."""

import pytest

from orderintake_server.dispatch.admission import Limits, WaitingRoom
from orderintake_server.dispatch.drain import MOST_SECONDS, DrainRate
from orderintake_server.domain import Tier
from orderintake_server.errors import CustomerQuota, QueueFull
from orderintake_server.store.base import NoRoom, Room, Tallies, Tally
from support.clocks import Seconds


def tallies(vip: Tally | None = None, regular: Tally | None = None) -> Tallies:
    return {Tier.VIP: vip or Tally(), Tier.REGULAR: regular or Tally()}


def room(limits: Limits, found: Tallies | None = None, clock: Seconds | None = None) -> WaitingRoom:
    return WaitingRoom(limits, tallies=found or tallies(), drain=DrainRate(clock or Seconds()))


def test_what_is_queued_or_scheduled_in_any_tier_takes_room_and_what_runs_none() -> None:
    found = tallies(
        vip=Tally(queued=1, scheduled=2, processing=100), regular=Tally(queued=3, scheduled=4)
    )
    assert room(Limits(queue=50), found).left() == Room(total=40, regular=40, waiting=10)


def test_of_the_room_vip_orders_have_their_reserve() -> None:
    here = room(Limits(queue=10, vip_reserve=3), tallies(regular=Tally(queued=6)))
    assert here.left() == Room(total=4, regular=1, waiting=6)
    here.count(tallies(regular=Tally(queued=7)), started=0)
    assert here.left() == Room(total=3, regular=0, waiting=7)
    here.count(tallies(vip=Tally(queued=3), regular=Tally(queued=7)), started=0)
    assert here.left() == Room(total=0, regular=-3, waiting=10)


def test_after_a_limit_was_lowered_there_is_less_than_none() -> None:
    found = tallies(regular=Tally(queued=50))
    assert room(Limits(queue=10), found).left() == Room(total=-40, regular=-40, waiting=50)


def test_the_limit_of_one_customer_is_told_to_the_store() -> None:
    assert room(Limits(per_customer=7)).left().per_customer == 7
    assert room(Limits()).left().per_customer is None


def test_the_refusal_of_a_full_queue_tells_how_many_wait_and_may() -> None:
    here = room(Limits(queue=10, vip_reserve=2), tallies(regular=Tally(queued=8)))
    refusal = here.refusal(NoRoom(1))
    assert isinstance(refusal, QueueFull)
    assert refusal.text.startswith("8 orders wait; 10 may, of which 2 places")
    assert refusal.retry_after == MOST_SECONDS


def test_the_refusal_of_one_customer_names_it_and_its_limit() -> None:
    refusal = room(Limits(per_customer=3)).refusal(NoRoom(1, "ada"))
    assert isinstance(refusal, CustomerQuota)
    assert refusal.subject == "ada"
    assert refusal.text.startswith("3 orders of one customer")


def test_room_is_promised_by_the_rate_at_which_orders_start() -> None:
    clock = Seconds()
    here = room(Limits(queue=10), clock=clock)
    for _ in range(100):
        clock.turn(0.1)
        here.count(tallies(regular=Tally(queued=10)), started=1)
    refusal = here.refusal(NoRoom(20))
    assert refusal.retry_after == pytest.approx(2.0, rel=0.1)
