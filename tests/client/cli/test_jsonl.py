"""A line of a file is an order, or is named."""

import json

import pytest

from orderintake import VIP
from orderintake.cli.jsonl import BadLine, orders


def line(customer_id: str = "ada") -> bytes:
    return json.dumps({"customer_id": customer_id}).encode() + b"\n"


def test_a_line_has_field_names_of_either_spelling() -> None:
    lines = [b'{"customer_id": "ada", "tier": "TIER_VIP"}\n', b'\xef\xbb\xbf{"customerId":"bob"}']
    first, second = [order for _, order in orders(lines)]
    assert (first.customer_id, second.customer_id) == ("ada", "bob")
    assert first.tier == VIP


def test_blank_lines_are_left_out_and_counted() -> None:
    found = orders([b"\n", line(), b"  \r\n", line()])
    assert [number for number, _ in found] == [2, 4]


def test_nothing_is_no_order() -> None:
    assert list(orders([b"\n"])) == []


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[]",
        b"null",
        b'{"customer": "ada"}',
        b'{"customer_id": 5}',
        b'{"tier": "GOLD"}',
        b'{"customer_id": "\xff"}',
        b'{"lines": {"tea": 2}}',
        b'{"customer_id": "a", "customer_id": "b"}',
    ],
)
def test_a_bad_line_is_named_and_those_before_it_are_read(bad: bytes) -> None:
    found = orders([line()] * 3 + [bad])
    assert [next(found)[0] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(BadLine, match=r"^line 4: .") as caught:
        next(found)
    assert caught.value.number == 4
    assert "\n" not in str(caught.value)
