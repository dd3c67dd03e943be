"""Of which orders many are listed or changed at once: failures, and orders that wait."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from orderintake_server.store import pages
from orderintake_server.store.base import COMPLETION_BYTES
from orderintake_server.store.pages import SCAN_BYTES
from orderintake_server.store.rows import CompletionRow, completion_of
from orderintake_server.views import FailedOrder, FailureCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orderintake_server.views import Selection

_T = TypeVar("_T")

MOST_CODES = 100
"""Of so many codes failures are counted."""


class Among(Enum):
    """Among which rows of the log failures are looked for: for each there is an index."""

    NUMBERS = "the orders that are named"
    ALL = "all that failed"
    OF_CODE = "those of one code that were not redriven"
    OF_CUSTOMER = "those of one customer that were not redriven"
    TO_REDRIVE = "those that were not redriven"


def among(wanted: Selection) -> Among:
    """Choose the rows of the log to look at: the fewer the better."""
    if wanted.numbers is not None:
        return Among.NUMBERS
    if wanted.is_redriven_too:
        return Among.ALL
    if len(wanted.codes) == 1:
        return Among.OF_CODE
    return Among.TO_REDRIVE if wanted.customer_id is None else Among.OF_CUSTOMER


def most_found(wanted: Selection, limit: int) -> int:
    """Tell how many to read that match but for their labels: all that are scanned, or a page."""
    return pages.SCAN_ROWS if wanted.has_labels else limit + 1


class Found(NamedTuple, Generic[_T]):
    """An order that matches but for its labels, and its number in the list."""

    number: int
    content: bytes
    size: int
    """The bytes that it takes on a page."""
    item: _T


def failed(row: Sequence[Any]) -> Found[FailedOrder]:
    """Read a failure: a row of COMPLETION_COLUMNS, and the number of its copy."""
    *columns, copy = row
    logged = CompletionRow._make(columns)
    completion = completion_of(logged)
    texts = completion.failure.code + completion.failure.message if completion.failure else ""
    size = COMPLETION_BYTES + len(logged.content) + len(texts.encode())
    return Found(logged.sequence, logged.content, size, FailedOrder(completion, copy))


def waits(row: Sequence[Any]) -> Found[int]:
    """Read an order that waits: its number, and its content."""
    number, content = row
    return Found(number, content, 0, number)


def page_of(
    found: Iterable[Found[_T]], wanted: Selection, limit: int, max_bytes: int
) -> tuple[list[_T], int | None, bool]:
    """Take from what was found as much as a page has room for.

    Also returns the number of the last one that was looked at, if there is one, and whether some
    were left. No more is looked at than SCAN_BYTES, but for the last one.
    """
    page: list[_T] = []
    last, unread = None, SCAN_BYTES
    for number, content, size, item in found:
        unread -= len(content)
        matches = wanted.has_labels is None or wanted.has_labels(content)
        if matches and (len(page) == limit or (page and max_bytes < size)):
            return page, last, True
        if matches:
            page.append(item)
            max_bytes -= size
        last = number
        if unread < 0:
            return page, last, True
    return page, last, False


def counted(rows: Iterable[Sequence[Any]], wanted: Selection, *, is_cut: bool) -> FailureCounts:
    """Count failures by code, of rows of code and content; `is_cut`: there are more."""
    counts: dict[str, int] = {}
    unread = SCAN_BYTES
    for code, content in rows:
        unread -= len(content)
        if unread < 0:
            is_cut = True
            break
        if wanted.has_labels is None or wanted.has_labels(content):
            counts[code] = counts.get(code, 0) + 1
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return FailureCounts(
        counts=dict(frequent[:MOST_CODES]), is_partial=is_cut or len(frequent) > MOST_CODES
    )
