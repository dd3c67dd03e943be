"""What an order is: its life as a table, and who is more urgent than whom."""

from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderintake.v1 import order_pb2
from orderintake_server.domain import (
    LIFE,
    Ending,
    Event,
    Failure,
    NewOrder,
    State,
    Tier,
    Waiting,
    rank,
)

EXPECTED = {
    (State.QUEUED, Event.CLAIM): State.PROCESSING,
    (State.PROCESSING, Event.SUCCEED): State.SUCCEEDED,
    (State.PROCESSING, Event.FAIL): State.FAILED,
    (State.PROCESSING, Event.GIVE_BACK): State.QUEUED,
    (State.PROCESSING, Event.RECOVER): State.QUEUED,
}
ENDED = (State.SUCCEEDED, State.FAILED)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_each_event_leads_where_it_must_or_nowhere(state: State, event: Event) -> None:
    assert LIFE.get((state, event)) == EXPECTED.get((state, event))


def test_an_ended_order_has_no_way_out() -> None:
    assert not [state for state, _ in LIFE if state in ENDED]


def test_every_state_but_the_ends_leads_to_an_end() -> None:
    assert {state for state in State if ENDED[0] in _reached(state)} == set(State) - {State.FAILED}
    assert {state for state in State if ENDED[1] in _reached(state)} == set(State) - {
        State.SUCCEEDED
    }


def test_every_state_is_reached_from_queued() -> None:
    assert _reached(State.QUEUED) == set(State)


def _reached(state: State) -> set[State]:
    reached = {state}
    while more := {to for (of, _), to in LIFE.items() if of in reached} - reached:
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


@given(st.tuples(TIERS, SEQUENCES), st.tuples(TIERS, SEQUENCES))
def test_p6_rank_orders_by_tier_and_then_by_accept_sequence(
    one: tuple[Tier, int], other: tuple[Tier, int]
) -> None:
    def urgency(order: tuple[Tier, int]) -> tuple[int, int]:
        return -order[0], order[1]

    assert (rank(*one) < rank(*other)) == (urgency(one) < urgency(other))
    assert (rank(*one) == rank(*other)) == (one == other)


@given(SEQUENCES)
def test_rank_fits_in_a_signed_integer_of_64_bits(sequence: int) -> None:
    assert 0 < rank(Tier.VIP, sequence) < rank(Tier.REGULAR, sequence) < 2**63


@given(st.lists(st.tuples(TIERS, SEQUENCES), unique=True))
def test_waiting_orders_sort_by_urgency(orders: list[tuple[Tier, int]]) -> None:
    waiting = sorted(Waiting(rank(*order), order[1], 0) for order in orders)
    expected = sorted(orders, key=lambda order: (-order[0], order[1]))
    assert [place.accept_sequence for place in waiting] == [sequence for _, sequence in expected]


def test_digests_tell_contents_apart_and_nothing_else() -> None:
    tea, same, cake = (_order(b"tea"), _order(b"tea", "r2"), _order(b"cake"))
    assert tea.digest == same.digest
    assert tea.digest != cake.digest
    assert len(tea.digest) == 16


def _order(content: bytes, request_id: str = "r1") -> NewOrder:
    return NewOrder(customer_id="ada", request_id=request_id, tier=Tier.VIP, content=content)


def test_an_ending_is_a_failure_or_a_success() -> None:
    assert Ending().event is Event.SUCCEED
    assert Ending(result=b"").event is Event.SUCCEED
    assert Ending(failure=Failure(code="", message="")).event is Event.FAIL
