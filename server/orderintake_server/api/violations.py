"""The bad fields of a request, found in bounded time however many there are."""

from __future__ import annotations

import re
from typing import Self

from orderintake_server.errors import FieldViolation, InvalidOrder
from orderintake_server.texts import UNPRINTABLE, is_printable

TEXT_CHARACTERS = 128
"""The longest text of most fields."""
_TEXT = re.compile(f"[^{UNPRINTABLE}]{{1,{TEXT_CHARACTERS}}}")
is_text = _TEXT.fullmatch
"""Tells whether a text is good as most fields want it: 1 to 128 printable characters."""
MOST = 50
"""So many bad fields of a request are named, and no more are kept."""


class Violations:
    """Collects the bad fields of a request, of one message in it after the other."""

    def __init__(self) -> None:
        """Begin with the request itself."""
        self._path = ""
        self._found: list[FieldViolation] = []

    def within(self, path: str) -> Self:
        """Go on with the message at another path of the request."""
        self._path = path
        return self

    def __bool__(self) -> bool:
        """Tell whether the request has a bad field."""
        return bool(self._found)

    @property
    def is_full(self) -> bool:
        """Tell whether so many were found that no more are named: to look on is in vain."""
        return len(self._found) >= MOST

    def add(self, field: str, description: str) -> None:
        """Name a bad field; the field "" means the whole message."""
        if not self.is_full:
            path = (self._path + field).removesuffix(".")
            self._found.append(FieldViolation(field=path, description=description))

    def check_text(
        self, field: str, text: str, *, most: int = TEXT_CHARACTERS, may_be_empty: bool = False
    ) -> None:
        """Name a field whose text is missing, too long or not printable."""
        if not text:
            if not may_be_empty:
                self.add(field, f"is required: 1 to {most} printable characters")
        elif len(text) > most:
            self.add(field, f"has {len(text)} characters; at most {most} are allowed")
        elif not is_printable(text):
            self.add(field, "has a character that cannot be printed")

    def refuse(self) -> None:
        """Raise InvalidOrder, which names what was found; if that is nothing, return."""
        if self._found:
            raise InvalidOrder(tuple(self._found))


def invalid(field: str, description: str) -> InvalidOrder:
    """Give the refusal for one bad field."""
    return InvalidOrder((FieldViolation(field=field, description=description),))
