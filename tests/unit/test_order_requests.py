"""P4: orders at the door: every bad field is named at once, and every limit is exact."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import any_pb2, timestamp_pb2, wrappers_pb2
from hypothesis import given
from hypothesis import strategies as st

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.api import order_checks, requests
from orderintake_server.api.violations import Violations, is_text
from orderintake_server.domain import NewOrder, Tier
from orderintake_server.errors import InvalidOrder
from support.orders import order

INT32_MOST = 2**31 - 1
LATER_TIER: Any = 7


ORDINARY = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\u200e",
    "\u3000",
    "\u00ad",
    "\u0378",
    "\ue000",
    "\U000e0001",
]
"""Characters that Python's own rule refuses, or does not know under every version."""


def _bad_fields(request: api.PlaceOrderRequest) -> list[str]:
    """Tell which fields are refused; none means that the order is taken."""
    try:
        requests.new_order(request)
    except InvalidOrder as refused:
        return [violation.field for violation in refused.violations if violation.description]
    return []


def test_a_good_order_is_read_as_it_was_placed() -> None:
    request = order("tea", vip=True, request_id="r-1", labels={"table": "7"})
    request.payload.Pack(wrappers_pb2.StringValue(value="no sugar"))
    placed = api.PlaceOrderRequest.FromString(request.SerializeToString())
    read = requests.new_order(request)
    content = order_pb2.Order.FromString(read.content)
    assert (read.customer_id, read.request_id, read.tier) == ("ada", "r-1", Tier.VIP)
    assert content == order_pb2.Order(
        customer_id="ada",
        tier=order_pb2.TIER_VIP,
        lines=placed.lines,
        labels=placed.labels,
        payload=placed.payload,
    )


def test_p4_every_bad_field_is_named_at_once() -> None:
    request = api.PlaceOrderRequest(
        request_id="r" * 129,
        tier=LATER_TIER,
        lines=[order_pb2.OrderLine(sku="tea", quantity=1), order_pb2.OrderLine(quantity=-1)],
        labels={"": "no key", "k": "v" * 257},
        payload=any_pb2.Any(value=b"untyped"),
    )
    assert sorted(_bad_fields(request)) == [
        "customer_id",
        "labels['']",
        "labels['k']",
        "lines[1].quantity",
        "lines[1].sku",
        "payload.type_url",
        "request_id",
        "tier",
    ]


def test_p4_no_more_than_fifty_fields_are_named() -> None:
    request = order()
    for _ in range(49):
        request.lines.add(sku="tea", quantity=0)
    assert len(_bad_fields(request)) == 49
    request.lines.add(sku="tea", quantity=0)
    assert len(_bad_fields(request)) == 50
    request.lines.add(sku="tea", quantity=0)
    assert len(_bad_fields(request)) == 50


@pytest.mark.parametrize("count", [101, 5_000])
def test_p22_what_is_beyond_the_limits_is_not_looked_at(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def check_text(_: Violations, field: str, *__: object, **___: object) -> None:
        looked.append(field)

    monkeypatch.setattr(Violations, "check_text", check_text)
    request = order()
    request.lines.extend([order_pb2.OrderLine()] * count)
    request.labels.update({f"key\t{number}": "" for number in range(count)})
    assert _bad_fields(request)
    assert len(looked) == 99 + 16  # the first line is good
    batch = api.BatchPlaceOrdersRequest(requests=[request] * 20)
    looked.clear()
    with pytest.raises(InvalidOrder) as refused:
        requests.new_orders(batch)
    assert len(refused.value.violations) == 50
    assert len(looked) <= 2 + 100 + 16


def _with(**fields: Any) -> api.PlaceOrderRequest:  # noqa: ANN401 - of any type
    request = order()
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def _lines(count: int) -> api.PlaceOrderRequest:
    request = order()
    del request.lines[:]
    request.lines.extend([order_pb2.OrderLine(sku="tea", quantity=1)] * count)
    return request


def _line(sku: str = "tea", quantity: int = 1) -> api.PlaceOrderRequest:
    request = _lines(0)
    request.lines.add(sku=sku, quantity=quantity)
    return request


def _labels(count: int) -> api.PlaceOrderRequest:
    return order(labels={f"key-{number}": "" for number in range(count)})


def _bytes(size: int) -> api.PlaceOrderRequest:
    request = order()
    request.payload.type_url = "a"
    request.payload.value = b"x" * (size - request.ByteSize() - 10)
    request.payload.value += b"x" * (size - request.ByteSize())
    assert request.ByteSize() == size
    return request


LIMITS: dict[str, tuple[Callable[[Any], api.PlaceOrderRequest], list[Any], list[Any], str]] = {
    "request_id": (lambda n: _with(request_id="é" * n), [0, 1, 128], [129], "request_id"),
    "customer_id": (lambda n: _with(customer_id="é" * n), [1, 128], [0, 129], "customer_id"),
    "tier": (lambda n: _with(tier=n), [0, 1, 2], [3, -1, INT32_MOST], "tier"),
    "lines": (_lines, [1, 100], [0, 101], "lines"),
    "sku": (lambda n: _line(sku="é" * n), [1, 128], [0, 129], "lines[0].sku"),
    "quantity": (
        lambda n: _line(quantity=n),
        [1, INT32_MOST],
        [0, -1, -INT32_MOST],
        "lines[0].quantity",
    ),
    "labels": (_labels, [0, 16], [17], "labels"),
    "key": (lambda n: order(labels={"é" * n: "v"}), [1, 63], [64], f"labels[{'é' * 63!r}]"),
    "no key": (lambda n: order(labels={"": "v"}), [], [0], "labels['']"),
    "value": (lambda n: order(labels={"k": "é" * n}), [0, 256], [257], "labels['k']"),
    "size": (_bytes, [65_535, 65_536], [65_537], ""),
}
GOOD = [
    pytest.param(make, size, id=f"{name}-{size}")
    for name, (make, good, _, _) in LIMITS.items()
    for size in good
]
BAD = [
    pytest.param(make, size, field, id=f"{name}-{size}")
    for name, (make, _, bad, field) in LIMITS.items()
    for size in bad
]


@pytest.mark.parametrize(("make", "size"), GOOD)
def test_what_is_just_within_a_limit_is_taken(
    make: Callable[[int], api.PlaceOrderRequest], size: int
) -> None:
    assert _bad_fields(make(size)) == []
    assert order_checks.is_good(make(size), requests.BATCH_BYTES)


@pytest.mark.parametrize(("make", "size", "field"), BAD)
def test_what_is_just_beyond_a_limit_is_refused_by_its_name(
    make: Callable[[int], api.PlaceOrderRequest], size: int, field: str
) -> None:
    assert _bad_fields(make(size)) == [field]
    assert not order_checks.is_good(make(size), requests.BATCH_BYTES)


def test_what_is_bad_in_a_batch_is_named_by_its_place_in_it() -> None:
    batch = api.BatchPlaceOrdersRequest(
        requests=[_bytes(65_536), _bytes(65_537), order(), _line(sku="")]
    )
    with pytest.raises(InvalidOrder) as refused:
        requests.new_orders(batch)
    assert [violation.field for violation in refused.value.violations] == [
        "requests[1]",
        "requests[3].lines[0].sku",
    ]


@pytest.mark.parametrize(
    "character", ["\n", "\x00", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066"]
)
def test_names_must_be_printable(character: str) -> None:
    text = f"a{character}b"
    assert _bad_fields(_with(request_id=text)) == ["request_id"]
    assert _bad_fields(_with(customer_id=text)) == ["customer_id"]
    assert _bad_fields(_line(sku=text)) == ["lines[0].sku"]
    assert _bad_fields(order(labels={text: "v"})) == [f"labels[{text!r}]"]
    assert _bad_fields(order(labels={"k": text})) == []


@pytest.mark.parametrize("text", ["a b", " ", "é", "訂單", "😀", "'\"\\`%;--", *ORDINARY])
def test_any_printable_name_is_taken(text: str) -> None:
    assert _bad_fields(_with(request_id=text, customer_id=text)) == []
    assert _bad_fields(_line(sku=text)) == []


@given(st.text(st.sampled_from("aé\t\u2028\u202e\u2070😀"), max_size=3), st.integers(0, 129))
def test_a_text_is_good_exactly_when_nothing_is_wrong_with_it(end: str, more: int) -> None:
    violations = Violations()
    violations.check_text("field", text := "a" * more + end)
    assert bool(is_text(text)) is not bool(violations)


def test_without_request_id_there_is_none() -> None:
    assert requests.new_order(order()).request_id is None


@pytest.mark.parametrize("tier", [order_pb2.TIER_UNSPECIFIED, order_pb2.TIER_REGULAR])
def test_no_tier_means_regular(tier: order_pb2.Tier.ValueType) -> None:
    read = requests.new_order(_with(tier=tier))
    assert read.tier is Tier.REGULAR
    assert order_pb2.Order.FromString(read.content).tier == order_pb2.TIER_REGULAR
    assert read.digest == requests.new_order(order()).digest


def test_the_shared_fields_of_request_and_order_are_the_same() -> None:
    ours, theirs = api.PlaceOrderRequest.DESCRIPTOR, order_pb2.Order.DESCRIPTOR
    shared = [field for field in ours.fields if field.name != "request_id"]
    assert [field.number for field in shared] == [2, 3, 4, 5, 6, 14, 15]
    for field in shared:
        other = theirs.fields_by_number[field.number]
        assert (field.name, field.type, field.is_repeated) == (
            other.name,
            other.type,
            other.is_repeated,
        )
        assert _kind(field) == _kind(other)


def _kind(field: Any) -> object:  # noqa: ANN401 - its type has no public name
    """Tell of which message or enum a field is; of maps, each has an entry type of its own."""
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return [(part.name, part.number, part.type) for part in message.fields]
    return (message and message.full_name), (field.enum_type and field.enum_type.full_name)


def test_fields_of_an_order_that_a_caller_smuggles_in_are_dropped() -> None:
    smuggled = order_pb2.Order(
        order_id="forged",
        state=order_pb2.STATE_SUCCEEDED,
        accept_sequence=99,
        start_sequence=98,
        attempt_count=97,
        accept_time=timestamp_pb2.Timestamp(seconds=1),
        start_time=timestamp_pb2.Timestamp(seconds=2),
        complete_time=timestamp_pb2.Timestamp(seconds=3),
    )
    raw = smuggled.SerializeToString() + order(request_id="r-1").SerializeToString()
    read = _read(raw)
    assert read.content == requests.new_order(order(request_id="r-1")).content
    assert read.request_id == "r-1"


def test_unknown_fields_of_parts_are_dropped_too() -> None:
    later = order_pb2.OrderLine(sku="tea", quantity=1).SerializeToString() + b"\x98\x06\x01"
    raw = order().SerializeToString()
    line = order_pb2.OrderLine(sku="tea", quantity=1).SerializeToString()
    assert raw.count(line) == 1
    grown = raw.replace(bytes([len(line)]) + line, bytes([len(later)]) + later)
    assert len(grown) == len(raw) + 3
    assert _read(grown).content == _read(raw).content


def _read(raw: bytes) -> NewOrder:
    return requests.new_order(api.PlaceOrderRequest.FromString(raw))


KEYS = "abcdefghijklmnop"


@given(st.permutations(KEYS))
def test_p2_labels_in_another_order_are_equal_content(keys: list[str]) -> None:
    raw = order().SerializeToString()
    for key in keys:  # an entry of the map each, in this order
        raw += b"\x2a\x06\x0a\x01" + key.encode() + b"\x12\x01v"
    same = requests.new_order(order(labels=dict.fromkeys(KEYS, "v")))
    assert _read(raw).digest == same.digest


TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=5)
ORDERS = st.builds(
    lambda customer, sku, count, labels, *, vip: (customer, sku, count, labels, vip),
    TEXTS,
    TEXTS,
    st.integers(1, 5),
    st.dictionaries(TEXTS, TEXTS, max_size=3),
    vip=st.booleans(),
)


@given(ORDERS, ORDERS)
def test_p2_equal_orders_and_only_they_have_equal_digests(one: Any, other: Any) -> None:  # noqa: ANN401
    assert (_digest(*one) == _digest(*other)) == (one == other)
    assert _digest(*one) == _digest(*one)


def _digest(customer: str, sku: str, count: int, labels: dict[str, str], vip: bool) -> bytes:  # noqa: FBT001
    request = order(sku, vip=vip, customer_id=customer, labels=labels, request_id="r")
    request.lines[0].quantity = count
    return requests.new_order(request).digest


def test_a_request_id_is_no_part_of_the_content() -> None:
    one, other = (requests.new_order(order(request_id=name)) for name in ("r-1", "r-2"))
    assert one.digest == other.digest
