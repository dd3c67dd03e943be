"""Where a page of orders or of completions ends, whichever engine reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from orderintake_server.domain import Completion
from orderintake_server.views import LogPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orderintake_server.domain import Order
    from orderintake_server.views import OperatorAction, OrderFilter

_T = TypeVar("_T")

SCAN_ROWS = 10_000
"""Rows that one page of a filtered list reads at the most: some 20 ms."""
SCAN_BYTES = 4 * 1024 * 1024
"""Bytes of orders that one page of a list reads at the most, but for the last of them."""
PAGE_BYTES = 255 * 1024
"""Bytes of orders on one page: with its other fields, its message stays below 256 KiB."""
ORDER_BYTES = 256
"""The most that an order takes in a message beside its content."""

ACTION_BYTES = 128
"""The most that an operator's action takes in a message beside its texts."""


LAST = 2**63 - 1
"""No accept sequence is greater."""


def list_from(after: int, *, newest_first: bool) -> int:
    """Return the accept sequence after which, or before which, a page of orders begins."""
    return after or LAST if newest_first else after


def rows_to_list(wanted: OrderFilter, limit: int) -> int:
    """Tell how many orders to read for a page: of the customer who is wanted, if one is."""
    return limit + 1 if wanted.tier is None and wanted.state is None else SCAN_ROWS


def page_of_orders(
    stands: Iterable[Order | Completion], wanted: OrderFilter, limit: int
) -> tuple[list[Order], int | None]:
    """Make the answer of `Store.list_orders` of as many orders as `rows_to_list` says.

    Fewer are enough, up to the one by which they exceed SCAN_BYTES. Reads no more of them than the
    page has room for.
    """
    page: list[Order] = []
    scanned, last, left, unread = 0, None, PAGE_BYTES, SCAN_BYTES
    for stand in stands:
        order = stand.order if isinstance(stand, Completion) else stand
        if wanted.wants(order):
            page.append(order)
            left -= len(order.content) + ORDER_BYTES
        if len(page) > limit or (left < 0 and len(page) > 1):
            return page[:-1], last
        scanned, last = scanned + 1, order.accept_sequence
        unread -= len(order.content)
        if unread < 0:
            return page, last
    return page, last if scanned == rows_to_list(wanted, limit) else None


def page_of_actions(
    actions: Sequence[OperatorAction], limit: int
) -> tuple[list[OperatorAction], bool]:
    """Make the answer of `Store.list_actions` of one action more than `limit`, if there is one."""
    page: list[OperatorAction] = []
    left = PAGE_BYTES
    for action in actions[:limit]:
        texts = action.by.name + action.by.peer + action.by.request_id + action.detail
        left -= len(texts.encode()) + ACTION_BYTES
        if left < 0 and page:
            break
        page.append(action)
    return page, len(page) < len(actions)


class LogScan(NamedTuple):
    """Which rows of the log to read for a page."""

    column: str | None
    """Only those that have in this column what is wanted, for which there is an index."""
    is_exact: bool
    """Whether all of these are wanted."""

    def rows(self, limit: int) -> int:
        """Tell how many to read."""
        return limit if self.is_exact else SCAN_ROWS


def log_scan(wanted: OrderFilter) -> LogScan:
    """Choose the rows of the log to read."""
    if wanted.customer_id is not None:
        return LogScan("customer_id", wanted.state is None and wanted.tier is None)
    return LogScan(None if wanted.tier is None else "tier", wanted.state is None)


class LogRead(NamedTuple, Generic[_T]):
    """What was read of the log, for a page of it."""

    completions: list[_T]
    last: int
    """The sequence of the last one; where the page begins if there is none."""
    is_cut: bool
    """Whether there were more that are wanted."""
    head: int
    """Where the log ends."""

    def page(self, last_scanned: Callable[[], int | None]) -> LogPage[_T]:
        """Make the page. `last_scanned`: the last row that was looked at where that was not all."""
        end: int | None = self.last
        if not self.is_cut:
            end = last_scanned()
        end = max(self.head if end is None else end, self.last)
        return LogPage(completions=self.completions, end=end, goes_on=end < self.head)
