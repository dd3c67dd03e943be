"""The log page by page, for those who do not keep up; read once for all at the same place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from orderintake_server.errors import CursorExpired
from orderintake_server.store.rows import completion_of
from orderintake_server.stream.ring import MESSAGE_BYTES, Cut
from orderintake_server.views import EVERY_ORDER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orderintake_server.domain import Completion
    from orderintake_server.store.base import Store
    from orderintake_server.store.rows import CompletionRow, ReadRow
    from orderintake_server.stream.log import CompletionLog
    from orderintake_server.views import LogPage, OrderFilter

    _Key = tuple[int, int]
    """After which sequence a page begins, and how many completions it may hold."""

_T = TypeVar("_T")

KEPT_PAGES = 64
KEPT_BYTES = 8 * 1024 * 1024
"""As many pages as that are kept, and so many bytes of them."""
MEETING = 1_000
"""Pages end at multiples of this sequence, so that readers who began at different places meet."""


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
                return await self._shared.after(after, limit=limit)
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

    def _every_order(self, after: int, limit: int) -> Awaitable[LogPage[bytes]]:
        return self._page(EVERY_ORDER, after, limit, self._encode)

    async def _page(
        self, wanted: OrderFilter, after: int, limit: int, read: ReadRow
    ) -> LogPage[Any]:
        page = await self._store.read_log(
            wanted, after=after, limit=limit, max_bytes=MESSAGE_BYTES, read=read
        )
        self._bounds.publish(page.end)  # a cursor for this position must be valid from now on
        return page


class SharedPages:
    """The pages that were read last. Whoever asks for one while it is read waits for it.

    Only pages behind which the log goes on are kept, for they never change.
    """

    def __init__(
        self,
        read: Callable[[int, int], Awaitable[LogPage[bytes]]],
        *,
        most_pages: int = KEPT_PAGES,
        most_bytes: int = KEPT_BYTES,
    ) -> None:
        """Begin with none. `read` is asked after which sequence to read how many completions."""
        self._read = read
        self._most_pages = most_pages
        self._most_bytes = most_bytes
        self._kept: dict[_Key, Cut] = {}
        """The one that was asked for last is the last."""
        self._bytes = 0
        self._reading: dict[_Key, asyncio.Task[Cut]] = {}

    async def after(self, after: int, *, limit: int) -> Cut:
        """Return what follows sequence `after`, at most `limit` completions.

        Raises what `read` raises.
        """
        key = after, min(limit, MEETING - after % MEETING)
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._kept[key] = kept
            return kept
        if key not in self._reading:
            reading = self._reading[key] = asyncio.create_task(self._page(key), name="log-page")
            reading.add_done_callback(lambda _: self._reading.pop(key))
        return await asyncio.shield(self._reading[key])  # others wait for it when this one leaves

    async def _page(self, key: _Key) -> Cut:
        page = await self._read(*key)
        cut = _cut(page)
        if page.goes_on:
            self._keep(key, cut)
        return cut

    def _keep(self, key: _Key, cut: Cut) -> None:
        self._kept[key] = cut
        self._bytes += len(cut.encoded)
        while len(self._kept) > self._most_pages or self._bytes > self._most_bytes:
            oldest = next(iter(self._kept))
            self._bytes -= len(self._kept.pop(oldest).encoded)


def _cut(page: LogPage[bytes]) -> Cut:
    return Cut(b"".join(page.completions), page.end)
