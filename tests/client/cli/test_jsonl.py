"""A file of orders becomes batches that the service accepts, or names its bad line."""

import json

import pytest

from orderintake import VIP
from orderintake.cli.jsonl import MOST_BYTES, MOST_ORDERS, BadLine, Batch, batches
from orderintake.requests import batch_place_orders


def line(customer_id: str = "ada") -> bytes:
    return json.dumps({"customer_id": customer_id}).encode() + b"\n"


def test_a_line_has_field_names_of_either_spelling() -> None:
    lines = [b'{"customer_id": "ada", "tier": "TIER_VIP"}\n', b'\xef\xbb\xbf{"customerId":"bob"}']
    (batch,) = batches(lines)
    assert [request.customer_id for request in batch.requests] == ["ada", "bob"]
    assert batch.requests[0].tier == VIP


def test_blank_lines_are_left_out_and_counted() -> None:
    (batch,) = batches([b"\n", line(), b"  \r\n", line()])
    assert batch.line_numbers == (2, 4)


def test_nothing_makes_no_batch() -> None:
    assert list(batches([b"\n"])) == []


def test_a_batch_has_a_thousand_orders_at_the_most() -> None:
    sizes = [len(batch.requests) for batch in batches([line()] * (2 * MOST_ORDERS + 1))]
    assert sizes == [MOST_ORDERS, MOST_ORDERS, 1]


def test_a_batch_is_never_larger_than_the_service_accepts_as_it_is_sent() -> None:
    found = list(batches([line("a" * 60_000)] * 120))
    sent = [batch_place_orders(batch.requests).ByteSize() for batch in found]
    assert [len(batch.requests) for batch in found] == [52, 52, 16]
    assert max(sent) <= MOST_BYTES


def test_an_order_too_large_for_any_batch_goes_alone() -> None:
    found = list(batches([line(), line("a" * MOST_BYTES), line()]))
    assert [batch.line_numbers for batch in found] == [(1,), (2,), (3,)]


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
def test_a_bad_line_is_named_and_nothing_of_its_batch_is_handed_out(bad: bytes) -> None:
    found: list[Batch] = []
    with pytest.raises(BadLine, match=r"^line 1003: .") as caught:
        found.extend(batches([line()] * 1002 + [bad]))
    assert caught.value.number == 1003
    assert len(found) == 1
    assert "\n" not in str(caught.value)
