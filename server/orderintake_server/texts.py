"""Which characters are printable: one rule for every text that a caller, a file or a person gives.

The rule is a fixed list, so that it is the same under every version of Python and Unicode. All
other characters are ordinary, also those that no version of Unicode has assigned yet.
"""

from __future__ import annotations

import re

_UNPRINTABLE_BUT_LINES = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters
    "\u2028\u2029"  # line and paragraph separators
    "\u202a-\u202e\u2066-\u2069"  # bidirectional embeddings, overrides and isolates
    "\ud800-\udfff"  # surrogates: no characters at all
)
UNPRINTABLE = f"\t\n{_UNPRINTABLE_BUT_LINES}"
"""What is not printable, as ranges of a regular expression."""

_ANY = re.compile(f"[{UNPRINTABLE}]")
_ANY_BUT_LINES = re.compile(f"[{_UNPRINTABLE_BUT_LINES}]")


def is_printable(text: str) -> bool:
    """Tell whether every character of the text is printable."""
    return _ANY.search(text) is None


def escaped(text: str, *, may_have_lines: bool = False) -> str:
    r"""Return the text with an escape like \x1b in place of each character that is not printable.

    Line feeds and tabs stay as they are if the text `may_have_lines`.
    """
    pattern = _ANY_BUT_LINES if may_have_lines else _ANY
    return pattern.sub(lambda found: ascii(found[0])[1:-1], text)
