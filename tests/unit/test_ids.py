"""Order ids and cursors: what was named is found again, and nothing else is."""

import base64
import string
import struct
import zlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orderintake_server.domain import Tier
from orderintake_server.errors import (
    CursorInvalid,
    CursorOtherLog,
    LeaseInvalid,
    OrderNotFound,
)
from orderintake_server.holders import LeaseKey
from orderintake_server.ids import NEWEST, Ids

LOG = Ids("0123abcd")
ALPHABET = string.ascii_letters + string.digits + string.punctuation + " \n\x00é"
SEQUENCES = st.integers(0, 2**48 - 1)
LOG_IDS = st.binary(min_size=4, max_size=4).map(bytes.hex)


@given(LOG_IDS, SEQUENCES)
def test_an_order_id_names_its_accept_sequence(log_id: str, sequence: int) -> None:
    names = Ids(log_id)
    assert names.accept_sequence(names.order_id(sequence)) == sequence


@given(LOG_IDS, SEQUENCES)
def test_a_cursor_names_its_sequence(log_id: str, sequence: int) -> None:
    names = Ids(log_id)
    assert names.sequence(names.cursor(sequence)) == sequence


@given(st.lists(SEQUENCES))
def test_order_ids_sort_as_accept_sequences_do(sequences: list[int]) -> None:
    ids = [LOG.order_id(sequence) for sequence in sequences]
    assert sorted(ids) == [LOG.order_id(sequence) for sequence in sorted(sequences)]


@given(SEQUENCES, LOG_IDS)
def test_no_order_of_another_log_is_found(sequence: int, other: str) -> None:
    assume(other != LOG.log_id)
    with pytest.raises(OrderNotFound):
        LOG.accept_sequence(Ids(other).order_id(sequence))


@given(SEQUENCES, LOG_IDS)
def test_no_cursor_of_another_log_is_taken(sequence: int, other: str) -> None:
    assume(other != LOG.log_id)
    with pytest.raises(CursorOtherLog):
        LOG.sequence(Ids(other).cursor(sequence))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "0123abcd",
        "0123abcd-",
        "0123abcd-1",
        "0123abcd-00000000001",
        "0123abcd-0000000000001",
        "0123ABCD-000000000001",
        "0123abcd-00000000000A",
        "0123abcd-00000000000g",
        "0123abcd_000000000001",
        " 0123abcd-000000000001",
        "0123abcd-000000000001\n",
        "0123abcd-" + "\u0661" * 12,
    ],
)
def test_no_other_text_is_an_order_id(text: str) -> None:
    assert LOG.accept_sequence("0123abcd-000000000001") == 1
    with pytest.raises(OrderNotFound):
        LOG.accept_sequence(text)


@given(LOG_IDS, st.integers(1, 2**48 - 1))
def test_a_page_token_names_a_place_in_the_list_of_orders(log_id: str, sequence: int) -> None:
    names = Ids(log_id)
    for name in (b"", b"of ada"):
        assert names.listed(names.page_token(sequence, name), name) == sequence


@given(st.integers(1, 2**48 - 1), st.binary(max_size=9), st.binary(max_size=9))
def test_a_page_token_fits_the_list_that_it_is_of_only(
    sequence: int, one: bytes, other: bytes
) -> None:
    assume(one != other)
    with pytest.raises(CursorInvalid):
        LOG.listed(LOG.page_token(sequence, one), other)
    with pytest.raises(CursorInvalid):
        Ids("ffffffff").listed(LOG.page_token(sequence, one), one)
    with pytest.raises(CursorInvalid):
        LOG.sequence(LOG.page_token(sequence, one))


def test_the_empty_page_token_is_before_the_first_order() -> None:
    assert LOG.listed("", b"of ada") == 0


@pytest.mark.parametrize(
    "text",
    ["1", "0123abcd-1", LOG.cursor(7), LOG.order_id(7), "\udcff", LOG.page_token(7, b"") + "="],
)
def test_no_other_text_is_a_page_token(text: str) -> None:
    with pytest.raises(CursorInvalid):
        LOG.listed(text, b"")


@settings(max_examples=20)
@given(SEQUENCES)
def test_p17_any_single_character_changed_spoils_a_cursor(sequence: int) -> None:
    cursor = LOG.cursor(sequence)
    for place, character in enumerate(cursor):
        for other in ALPHABET.replace(character, ""):
            _refused(cursor[:place] + other + cursor[place + 1 :])


@given(SEQUENCES)
def test_p17_any_character_more_or_less_spoils_a_cursor(sequence: int) -> None:
    cursor = LOG.cursor(sequence)
    for place in range(len(cursor)):
        _refused(cursor[:place] + cursor[place + 1 :])
    for place in range(len(cursor) + 1):
        for more in "A=-\n ":
            _refused(cursor[:place] + more + cursor[place:])


@pytest.mark.parametrize(("ours", "other"), ["-+", "_/"])
def test_a_cursor_in_the_other_alphabet_is_none(ours: str, other: str) -> None:
    cursors = [cursor for cursor in map(LOG.cursor, range(200)) if ours in cursor]
    assert cursors
    for cursor in cursors:
        _refused(cursor.replace(ours, other))


@given(st.text())
def test_no_other_text_is_a_cursor(text: str) -> None:
    _refused(text)


def test_a_cursor_of_another_version_is_none() -> None:
    place = struct.pack(">B4sQ", 2, bytes.fromhex(LOG.log_id), 7)
    raw = place + struct.pack(">I", zlib.crc32(place))
    _refused(base64.urlsafe_b64encode(raw).decode().rstrip("="))


def _refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        LOG.sequence(cursor)


KEYS = st.builds(
    lambda accept, start, tier, tries, crashes: LeaseKey(
        accept, start, tier, tries + crashes, crashes
    ),
    st.integers(0, NEWEST - 1),
    st.integers(0, NEWEST - 1),
    st.sampled_from(Tier),
    st.integers(1, 2**31),
    st.integers(0, 2**31 - 1),
)


@given(LOG_IDS, KEYS)
def test_a_lease_says_all_that_is_needed_to_end_its_attempt(log_id: str, key: LeaseKey) -> None:
    names = Ids(log_id)
    assert names.lease_key(names.lease(key)) == key


@given(KEYS, LOG_IDS)
def test_no_lease_of_another_log_is_taken(key: LeaseKey, other: str) -> None:
    assume(other != LOG.log_id)
    with pytest.raises(LeaseInvalid):
        LOG.lease_key(Ids(other).lease(key))


@given(KEYS, st.integers(0, 59), st.sampled_from(ALPHABET))
def test_no_lease_that_was_damaged_is_taken(key: LeaseKey, place: int, character: str) -> None:
    lease = LOG.lease(key)
    place %= len(lease)
    damaged = lease[:place] + character + lease[place + 1 :]
    assume(damaged != lease)
    with pytest.raises(LeaseInvalid):
        LOG.lease_key(damaged)


@pytest.mark.parametrize(
    "key",
    [
        LeaseKey(NEWEST, 2, Tier.VIP, 1, 0),
        LeaseKey(1, 2**64 - 1, Tier.VIP, 1, 0),
        LeaseKey(1, 2, Tier.VIP, 3, 3),
        LeaseKey(1, 2, Tier.VIP, 0, 2**32 - 1),
    ],
)
def test_no_lease_is_taken_that_no_store_gives(key: LeaseKey) -> None:
    with pytest.raises(LeaseInvalid):
        LOG.lease_key(LOG.lease(key))


@pytest.mark.parametrize("text", ["", "x", LOG.cursor(7), LOG.order_id(7), LOG.page_token(7, b"")])
def test_no_other_text_is_a_lease(text: str) -> None:
    with pytest.raises(LeaseInvalid):
        LOG.lease_key(text)
    with pytest.raises(CursorInvalid):
        LOG.sequence(LOG.lease(LeaseKey(1, 2, Tier.VIP, 1, 0)))
