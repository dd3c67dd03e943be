"""The log page by page, for those who do not keep up; read once for all at the same place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from orderintake_server.errors import CursorExpired
from orderintake_server.store.rows import completion_of
from orderintake_server.stream.ring import MESSAGE_BYTES, Cut
from orderintake_server.views import EVERY_ORDER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from orderintake_server.domain import Completion
    from orderintake_server.store.base import Store
    from orderintake_server.store.rows import CompletionRow, ReadRow
    from orderintake_server.stream.log import CompletionLog
    from orderintake_server.views import LogPage, OrderFilter

    _Key = tuple[int, int]
    """After which sequence a page begins, and how many completions it may hold."""
    _Read = Callable[[int, int, int], Awaitable[LogPage[bytes]]]
    """Reads after a sequence so many completions at the most, and so many bytes."""

_T = TypeVar("_T")

KEPT_PAGES = 128
KEPT_BYTES = 8 * 1024 * 1024
"""So many pages are kept at the most, and so many bytes of them."""
READ_AHEAD = 5
"""Pages that are read at once: a sixth is saved of what a reader costs that is alone."""
MOST_UNASKED = KEPT_PAGES // 4
"""Beyond so many kept pages that nobody asked for yet, none are read ahead."""
MEETING = 500
"""Pages end at multiples of this sequence, so that readers who began at different places meet, and
no more completions are read at once: some 4 ms."""


class LogPages:
    """The log as it is read from the store, a message's size at a time."""

    def __init__(
        self, store: Store, encode: Callable[[CompletionRow], bytes], *, bounds: CompletionLog
    ) -> None:
        """Read from `store`; let `bounds` know what is found out about where the log is."""
        self._store = store
        self._encode = encode
        self._bounds = bounds
        self._shared = SharedPages(self._every_order)

    async def read(
        self, wanted: OrderFilter, *, after: int, limit: int, from_earliest: bool = False
    ) -> LogPage[Completion]:
        """Return a page of the log, as much as one message may hold.

        Raises CursorExpired when some completions after `after` have been pruned; but with
        `from_earliest` the page begins with the earliest completion that is still there.
        """

        def page(after: int) -> Awaitable[LogPage[Completion]]:
            return self._page(wanted, after, limit, completion_of)

        return await self._from(after, page, may_skip=from_earliest)

    async def cut(
        self, wanted: OrderFilter, *, after: int, limit: int, from_earliest: bool = False
    ) -> Cut:
        """Return a page of the log as `read` does, but encoded as the ring's completions are."""

        async def cut(after: int) -> Cut:
            if wanted == EVERY_ORDER:
                return await self._shared.after(after, limit=limit, head=self._bounds.head)
            return _cut(await self._page(wanted, after, limit, self._encode))

        return await self._from(after, cut, may_skip=from_earliest)

    async def _from(
        self, after: int, read: Callable[[int], Awaitable[_T]], *, may_skip: bool
    ) -> _T:
        """Read what follows this sequence; what was pruned of it may be skipped, or not."""
        while True:
            try:
                self._bounds.refuse_pruned(after)  # pages that are kept do not know
                return await read(after)
            except CursorExpired as expired:
                after = self._after_pruned(expired, may_skip=may_skip)

    def _after_pruned(self, expired: CursorExpired, *, may_skip: bool) -> int:
        """Return the sequence after which a reader goes on that may skip what was pruned."""
        self._bounds.note_pruned(expired.earliest)
        if not may_skip:
            raise expired
        return expired.earliest

    async def _every_order(self, after: int, limit: int, max_bytes: int) -> LogPage[bytes]:
        return self._noted(
            await self._store.read_log(
                EVERY_ORDER, after=after, limit=limit, max_bytes=max_bytes, read=self._encode
            )
        )

    async def _page(
        self, wanted: OrderFilter, after: int, limit: int, read: ReadRow
    ) -> LogPage[Any]:
        return self._noted(
            await self._store.read_log(
                wanted, after=after, limit=limit, max_bytes=MESSAGE_BYTES, read=read
            )
        )

    def _noted(self, page: LogPage[_T]) -> LogPage[_T]:
        self._bounds.publish(page.end)  # a cursor for this position must be valid from now on
        return page


class SharedPages:
    """The pages that were read last. Whoever asks for one while it is read waits for it.

    Only pages behind which the log goes on are kept, for they never change. A few more are read
    with each, as long as those that were read before are asked for.
    """

    def __init__(
        self, read: _Read, *, most_pages: int = KEPT_PAGES, most_bytes: int = KEPT_BYTES
    ) -> None:
        """Begin with none."""
        self._read = read
        self._most_pages = most_pages
        self._most_bytes = most_bytes
        self._kept: dict[_Key, Cut] = {}
        """The one that was asked for last is the last."""
        self._bytes = 0
        self._unasked: set[_Key] = set()
        self._reading: dict[_Key, asyncio.Task[Cut]] = {}

    async def after(self, after: int, *, limit: int, head: int) -> Cut:
        """Return what follows sequence `after`, at most `limit` completions.

        Up to `head`, where the log ends as far as is known, pages may be read ahead.

        Raises what `read` raises.
        """
        key = after, limit
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._kept[key] = kept
            self._unasked.discard(key)
            return kept
        if key not in self._reading:
            page = self._page(key, head)
            reading = self._reading[key] = asyncio.create_task(page, name="log-page")
            reading.add_done_callback(lambda _: self._reading.pop(key))
        return await asyncio.shield(self._reading[key])  # others wait for it when this one leaves

    async def _page(self, key: _Key, head: int) -> Cut:
        """Read a page, and those after it of the same size that are read with it."""
        after, limit = key
        may_be_more = after + READ_AHEAD * limit <= head and len(self._unasked) < MOST_UNASKED
        count = READ_AHEAD if may_be_more else 1
        most = min(count * limit, MEETING - after % MEETING)
        page = await self._read(after, most, count * MESSAGE_BYTES)
        cuts = list(_cuts(page, after, limit))
        for cut in cuts:
            if cut.end < page.end or page.goes_on:
                self._keep((after, limit), cut)
            after = cut.end
        self._unasked.discard(key)
        return cuts[0]

    def _keep(self, key: _Key, cut: Cut) -> None:
        if key in self._kept:
            return
        self._kept[key] = cut
        self._unasked.add(key)
        self._bytes += len(cut.encoded)
        while len(self._kept) > self._most_pages or self._bytes > self._most_bytes:
            oldest = next(iter(self._kept))
            self._bytes -= len(self._kept.pop(oldest).encoded)
            self._unasked.discard(oldest)


def _cuts(page: LogPage[bytes], after: int, limit: int) -> Iterator[Cut]:
    """Cut a page that begins after `after` into messages; an empty one into one that is empty."""
    parts, first, size = page.completions, 0, 0
    for index, part in enumerate(parts):
        if index - first == limit or (first < index and size + len(part) > MESSAGE_BYTES):
            yield Cut(b"".join(parts[first:index]), after + index)
            first, size = index, 0
        size += len(part)
    yield Cut(b"".join(parts[first:]), page.end)


def _cut(page: LogPage[bytes]) -> Cut:
    return Cut(b"".join(page.completions), page.end)
