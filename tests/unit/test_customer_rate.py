"""P5: how many orders a second one customer may place, by a clock that the test turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderintake_server.dispatch.customer_rate import CustomerRate
from orderintake_server.errors import CustomerQuota
from support.clocks import Seconds


class Bucket:
    """Ada's and everybody's bucket: two orders a second, five at once."""

    def __init__(
        self, per_second: float | None = 2.0, burst: int = 5, most_customers: int = 100_000
    ) -> None:
        self.clock = Seconds()
        self.rate = CustomerRate(
            per_second=per_second, burst=burst, clock=self.clock, most_customers=most_customers
        )

    def takes(self, *orders: int, by: str = "ada") -> list[bool]:
        """Ask for batches of so many orders, one after the other; tell which were let pass."""
        return [self._takes(((by, count),)) for count in orders]

    def _takes(self, customers: tuple[tuple[str, int], ...]) -> bool:
        try:
            self.rate.consume(customers)
        except CustomerQuota:
            return False
        return True

    def refusal(self, *customers: tuple[str, int]) -> CustomerQuota:
        """Ask for what must be refused; tell how."""
        with pytest.raises(CustomerQuota) as refused:
            self.rate.consume(customers)
        return refused.value


def test_so_many_are_let_pass_at_once_and_no_more() -> None:
    assert Bucket().takes(1, 1, 1, 1, 1, 1) == [True] * 5 + [False]
    assert Bucket().takes(3, 2, 1) == [True, True, False]


def test_what_was_taken_comes_back_by_the_clock() -> None:
    bucket = Bucket()
    bucket.takes(5)
    bucket.clock.turn(0.49)
    assert bucket.takes(1) == [False]
    bucket.clock.turn(0.01)
    assert bucket.takes(1, 1) == [True, False]
    bucket.clock.turn(1)
    assert bucket.takes(2, 1) == [True, False]


def test_no_more_comes_back_than_was_taken() -> None:
    bucket = Bucket()
    bucket.takes(5)
    bucket.clock.turn(1000)
    assert bucket.takes(5, 1) == [True, False]


def test_each_customer_has_its_own_bucket() -> None:
    bucket = Bucket()
    assert bucket.takes(5, 1) == [True, False]
    assert bucket.takes(5, 1, by="bob") == [True, False]


def test_a_batch_larger_than_a_burst_passes_from_a_full_bucket_only() -> None:
    bucket = Bucket()
    assert bucket.takes(20, 1) == [True, False]
    bucket.clock.turn(7.4)  # of what was taken too much, all must come back
    assert bucket.takes(1) == [False]
    bucket.clock.turn(2.59)
    assert bucket.takes(20) == [False]
    bucket.clock.turn(0.01)
    assert bucket.takes(20) == [True]


def test_of_all_customers_of_a_batch_or_of_none() -> None:
    bucket = Bucket()
    bucket.takes(5)
    assert bucket.refusal(("bob", 3), ("ada", 1)).subject == "ada"
    assert bucket.takes(5, by="bob") == [True]


def test_a_refusal_costs_nothing() -> None:
    bucket = Bucket()
    bucket.takes(4)
    assert bucket.takes(2, 2, 2) == [False] * 3
    assert bucket.takes(1) == [True]


def test_without_a_limit_everything_passes() -> None:
    assert Bucket(per_second=None).takes(10**9, 10**9) == [True, True]


@pytest.mark.parametrize(("taken", "wanted"), [(5, 1), (5, 5), (3, 3), (20, 1), (1, 20)])
def test_the_refusal_tells_when_the_same_is_let_pass(taken: int, wanted: int) -> None:
    bucket = Bucket()
    bucket.takes(taken)
    refusal = bucket.refusal(("ada", wanted))
    assert refusal.retry_after > 0
    bucket.clock.turn(refusal.retry_after - 0.01)
    assert bucket.takes(wanted) == [False]
    bucket.clock.turn(0.0101)
    assert bucket.takes(wanted) == [True]


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 5)), max_size=40))
def test_whenever_they_come_no_more_pass_than_rate_and_burst_allow(
    asks: list[tuple[float, int]],
) -> None:
    bucket = Bucket()
    passed = 0
    begin = bucket.clock.now
    for seconds, orders in asks:
        bucket.clock.turn(seconds)
        if bucket.takes(orders) == [True]:
            passed += orders
        assert passed <= 5 + 2 * (bucket.clock.now - begin) + 1e-6


def test_buckets_that_are_full_again_are_forgotten() -> None:
    bucket = Bucket(most_customers=10)
    for number in range(10):
        bucket.takes(1, by=f"customer {number}")
    bucket.takes(5)
    bucket.clock.turn(1)
    bucket.takes(1, by="bob")
    assert set(bucket.rate._full_at) == {"ada", "bob"}  # noqa: SLF001 - memory is what it is about
    assert bucket.takes(3, 1) == [False, True]


def test_what_is_given_back_can_be_taken_again() -> None:
    bucket = Bucket()
    bucket.takes(5)
    bucket.rate.give_back((("ada", 2), ("nobody", 3)))
    assert bucket.takes(1, 1, 1) == [True, True, False]
    assert bucket.takes(5, 1, by="nobody") == [True, False]
