"""The newest completions in bounded memory, cut into messages."""

import pytest

from orderintake_server.domain import Tier
from orderintake_server.stream import ring
from orderintake_server.stream.ring import Cut, Entry, Ring
from orderintake_server.views import EVERY_ORDER, OrderFilter


def entries(first: int, last: int, *, size: int = 1) -> list[Entry]:
    """Completions of two customers in turn, every third of them VIP."""
    return [
        Entry(
            number,
            "bob" if number % 2 else "ada",
            Tier.REGULAR if number % 3 else Tier.VIP,
            b"%c" % number * size,
        )
        for number in range(first, last + 1)
    ]


@pytest.fixture
def filled() -> Ring:
    """Completions 11 to 20."""
    filled = Ring(10)
    filled.extend(entries(11, 15))
    filled.extend(entries(16, 20))
    return filled


@pytest.mark.parametrize(
    ("after", "limit", "cut"),
    [
        (10, 3, Cut(bytes([11, 12, 13]), 13)),
        (13, 100, Cut(bytes(range(14, 21)), 20)),
        (19, 1, Cut(bytes([20]), 20)),
        (20, 1, Cut(b"", 20)),
        (25, 1, Cut(b"", 25)),
    ],
)
def test_what_follows_a_place_is_cut_from_it(
    filled: Ring, after: int, limit: int, cut: Cut
) -> None:
    for _ in range(2):  # the second is remembered
        assert filled.cut(EVERY_ORDER, after=after, limit=limit) == cut


def test_a_cut_holds_what_is_wanted_and_ends_before_what_it_leaves(filled: Ring) -> None:
    bobs = OrderFilter(customer_id="bob")
    assert filled.cut(bobs, after=10, limit=2) == Cut(bytes([11, 13]), 14)
    assert filled.cut(bobs, after=14, limit=9) == Cut(bytes([15, 17, 19]), 20)
    vips_of_bob = OrderFilter(customer_id="bob", tier=Tier.VIP)
    assert filled.cut(vips_of_bob, after=10, limit=9) == Cut(bytes([15]), 20)
    assert filled.cut(OrderFilter(customer_id="eve"), after=12, limit=9) == Cut(b"", 20)


def test_a_cut_is_no_larger_than_a_message_and_never_empty_for_that() -> None:
    large = Ring(0)
    large.extend(entries(1, 4, size=ring.MESSAGE_BYTES // 2))
    assert [large.cut(EVERY_ORDER, after=after, limit=9).end for after in (0, 2)] == [2, 4]
    large.extend(entries(5, 6, size=ring.MESSAGE_BYTES + 1))
    assert large.cut(EVERY_ORDER, after=4, limit=9).end == 5


def test_what_comes_is_in_the_next_cut(filled: Ring) -> None:
    assert filled.cut(EVERY_ORDER, after=20, limit=9) == Cut(b"", 20)
    filled.extend(entries(21, 21))
    assert filled.cut(EVERY_ORDER, after=20, limit=9) == Cut(bytes([21]), 21)


def test_the_oldest_go_when_there_are_too_many() -> None:
    small = Ring(0, most_entries=8)
    for number in range(1, 101):
        small.extend(entries(number, number))
        assert small.end == number
        assert number - small.start <= 8
        whole = small.cut(EVERY_ORDER, after=small.start, limit=99)
        assert whole == Cut(bytes(range(small.start + 1, number + 1)), number)
    assert small.end - small.start >= 4


def test_the_oldest_go_when_they_are_too_large() -> None:
    small = Ring(0, most_bytes=1_000)
    for number in range(1, 20):
        small.extend(entries(number, number, size=300))
        whole = small.cut(EVERY_ORDER, after=small.start, limit=99)
        assert len(whole.encoded) <= 1_000
        assert whole.end == number
    small.extend(entries(20, 20, size=2_000))
    assert (small.start, small.end) == (20, 20)


def test_begun_anew_it_goes_on_where_it_is_told(filled: Ring) -> None:
    filled.restart(50)
    assert (filled.start, filled.end) == (50, 50)
    filled.extend(entries(51, 52))
    assert filled.cut(EVERY_ORDER, after=50, limit=9) == Cut(bytes([51, 52]), 52)
