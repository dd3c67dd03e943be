"""What an order is: its life as a table, and who is more urgent than whom."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.domain import (
    ENDED,
    REDRIVABLE,
    TRANSITIONS,
    CancelOutcome,
    Ending,
    Event,
    NewOrder,
    QueueEntry,
    Ranking,
    State,
    Tier,
)
from orderintake_server.views import WaitReason

EXPECTED = {
    (State.SCHEDULED, Event.FALL_DUE): State.QUEUED,
    (State.SCHEDULED, Event.CANCEL): State.CANCELLED,
    (State.SCHEDULED, Event.EXPIRE): State.EXPIRED,
    (State.QUEUED, Event.CLAIM): State.PROCESSING,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.EXPIRE): State.EXPIRED,
    (State.PROCESSING, Event.SUCCEED): State.SUCCEEDED,
    (State.PROCESSING, Event.RETRY): State.SCHEDULED,
    (State.PROCESSING, Event.FAIL): State.FAILED,
    (State.PROCESSING, Event.RELEASE): State.QUEUED,
    (State.PROCESSING, Event.RECOVER): State.QUEUED,
    (State.PROCESSING, Event.QUARANTINE): State.FAILED,
    (State.PROCESSING, Event.CANCEL): State.CANCELLED,
}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_each_event_leads_where_it_must_or_nowhere(state: State, event: Event) -> None:
    assert TRANSITIONS.get((state, event)) == EXPECTED.get((state, event))


def test_an_ended_order_has_no_way_out() -> None:
    assert {State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED} == ENDED
    assert not [state for state, _ in TRANSITIONS if state in ENDED]


def test_every_state_but_the_ends_leads_to_every_end() -> None:
    for state in set(State) - ENDED:
        assert _reached(state) >= ENDED


@pytest.mark.parametrize("first", [State.QUEUED, State.SCHEDULED])
def test_every_state_is_reached_from_where_an_order_begins(first: State) -> None:
    assert _reached(first) == set(State)


def test_what_ended_badly_may_be_placed_again() -> None:
    assert {State.FAILED, State.CANCELLED, State.EXPIRED} == REDRIVABLE


def _reached(state: State) -> set[State]:
    reached = {state}
    while more := {to for (of, _), to in TRANSITIONS.items() if of in reached} - reached:
        reached |= more
    return reached


def test_states_and_tiers_have_the_contracts_names_and_numbers() -> None:
    assert _members(State) == _contract(order_pb2.State, "STATE_")
    assert _members(Tier) == _contract(order_pb2.Tier, "TIER_")


def _members(of: Iterable[State] | Iterable[Tier]) -> set[tuple[str, int]]:
    return {(member.name, member.value) for member in of}


def _contract(enum: type[order_pb2.State] | type[order_pb2.Tier], prefix: str) -> set[object]:
    return {(name.removeprefix(prefix), number) for name, number in enum.items() if number}


SEQUENCES = st.integers(1, 2**56 - 1)
TIERS = st.sampled_from(Tier)


TIMES = st.integers(0, 2**62)
STRICT = Ranking()


@given(st.tuples(TIERS, SEQUENCES), st.tuples(TIERS, SEQUENCES), TIMES, TIMES)
def test_p6_rank_orders_by_tier_and_then_by_accept_sequence(
    one: tuple[Tier, int], other: tuple[Tier, int], time: int, other_time: int
) -> None:
    def urgency(order: tuple[Tier, int]) -> tuple[int, int]:
        return -order[0], order[1]

    rank, other_rank = STRICT.rank(*one, time), STRICT.rank(*other, other_time)
    assert (rank < other_rank) == (urgency(one) < urgency(other))
    assert (rank == other_rank) == (one == other)


@given(SEQUENCES, TIMES)
def test_rank_fits_in_a_signed_integer_of_64_bits(sequence: int, time: int) -> None:
    vip, regular = (STRICT.rank(tier, sequence, time) for tier in (Tier.VIP, Tier.REGULAR))
    assert 0 < vip < regular < 2**63


@given(st.integers(1, 2**45), TIMES, TIMES, SEQUENCES, SEQUENCES)
def test_p7_a_vip_order_overtakes_by_its_head_start_and_no_further(
    head_start: int, vip_time: int, regular_time: int, one: int, other: int
) -> None:
    ranking = Ranking(vip_head_start=head_start)
    vip = ranking.rank(Tier.VIP, one, vip_time)
    regular = ranking.rank(Tier.REGULAR, other, regular_time)
    assert (vip < regular) == (vip_time < regular_time + head_start)


@given(st.integers(1, 2**45), TIERS, TIMES, TIMES)
def test_p7_with_a_head_start_too_a_tier_goes_by_acceptance(
    head_start: int, tier: Tier, time: int, later: int
) -> None:
    ranking = Ranking(vip_head_start=head_start)
    assert (ranking.rank(tier, 1, time) < ranking.rank(tier, 2, later)) == (time < later)


@given(st.lists(st.tuples(TIERS, SEQUENCES), unique=True))
def test_waiting_orders_sort_by_urgency(orders: list[tuple[Tier, int]]) -> None:
    waiting = sorted(QueueEntry(STRICT.rank(*order, 0), order[1], order[0], 0) for order in orders)
    expected = sorted(orders, key=lambda order: (-order[0], order[1]))
    assert [place.accept_sequence for place in waiting] == [sequence for _, sequence in expected]


def test_digests_tell_contents_apart_and_nothing_else() -> None:
    tea, same, cake = (_order(b"tea"), _order(b"tea", "r2"), _order(b"cake"))
    assert tea.digest == same.digest
    assert tea.digest != cake.digest
    assert len(tea.digest) == 16


def test_times_are_part_of_what_digests_tell_apart() -> None:
    orders = [
        _order(b"tea", not_before=before, expire_time=expire)
        for before, expire in ((0, 0), (1, 0), (0, 1), (1, 1), (2**62, 2**62))
    ]
    assert len({order.digest for order in orders}) == len(orders)
    assert _order(b"tea", "r1", not_before=5).digest == _order(b"tea", "r2", not_before=5).digest


def _order(
    content: bytes, request_id: str = "r1", *, not_before: int = 0, expire_time: int = 0
) -> NewOrder:
    return NewOrder(
        customer_id="ada",
        request_id=request_id,
        tier=Tier.VIP,
        content=content,
        not_before=not_before,
        expire_time=expire_time,
    )


def test_an_ending_is_a_success_unless_told_otherwise() -> None:
    assert Ending() == Ending(event=Event.SUCCEED, failure=None, result=None, retry_after=0)


@pytest.mark.parametrize(
    ("enum", "contract", "prefix"),
    [
        (CancelOutcome, api.CancelOutcome, "CANCEL_OUTCOME_"),
        (WaitReason, api.WaitReason, "WAIT_REASON_"),
    ],
)
def test_outcomes_and_reasons_have_the_contracts_names_and_numbers(
    enum: Any,  # noqa: ANN401
    contract: Any,  # noqa: ANN401
    prefix: str,
) -> None:
    assert _members(enum) == _contract(contract, prefix)
