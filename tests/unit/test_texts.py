"""Which characters are printable: the same under every Python, and no others are refused."""

import sys
import unicodedata

import pytest

from orderintake_server.texts import escaped, is_printable

REFUSED = {
    *range(0x20),
    *range(0x7F, 0xA0),
    0x2028,
    0x2029,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
}


def test_the_rule_is_a_fixed_list_of_characters() -> None:
    found = {number for number in range(sys.maxunicode + 1) if not is_printable(chr(number))}
    assert found == REFUSED


def test_all_control_characters_and_separators_of_unicode_are_in_it() -> None:
    categories = {"Cc", "Cs", "Zl", "Zp"}
    found = {n for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) in categories}
    assert found <= REFUSED


@pytest.mark.parametrize("number", sorted(REFUSED)[::97])
def test_what_is_escaped_is_printable(number: int) -> None:
    text = f"a{chr(number)}b"
    assert is_printable(escaped(text))
    assert escaped(text) == "a" + ascii(chr(number))[1:-1] + "b"
    assert escaped("a\n\tb\x1b", may_have_lines=True) == "a\n\tb\\x1b"
