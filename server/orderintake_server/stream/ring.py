"""The newest completions, encoded once, from which every subscriber that keeps up is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import Tier
    from orderintake_server.views import OrderFilter

RING_ENTRIES = 8_192
RING_BYTES = 8 * 1024 * 1024
"""A second or two of completions at full speed. A slower subscriber reads the log itself."""

MESSAGE_BYTES = 255 * 1024
"""Bytes of completions in one message: with its other fields, a message stays below 256 KiB."""


class Entry(NamedTuple):
    """A completion, encoded as it is sent, and the fields that filters match."""

    sequence: int
    customer_id: str
    tier: Tier
    encoded: bytes


class Cut(NamedTuple):
    """Encoded completions, one after the other, and up to which sequence the log was searched."""

    encoded: bytes
    end: int


class Ring:
    """The completions after sequence `start` up to `end`, without a gap.

    The oldest are dropped when there are too many of them, or too many bytes.
    """

    def __init__(
        self, end: int, *, most_entries: int = RING_ENTRIES, most_bytes: int = RING_BYTES
    ) -> None:
        """Begin with nothing; the next completion is the one after `end`."""
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self.restart(end)

    def restart(self, end: int) -> None:
        """Drop everything; the next completion is the one after `end`."""
        self.start = self.end = end
        self._entries: list[Entry] = []
        self._bytes = 0
        self._cuts: dict[tuple[int, int], Cut] = {}

    def extend(self, entries: Sequence[Entry]) -> None:
        """Add the completions that follow, which are the next after `end`."""
        self._entries += entries
        self._bytes += sum(len(entry.encoded) for entry in entries)
        self.end += len(entries)
        self._cuts.clear()
        if len(self._entries) > self._most_entries or self._bytes > self._most_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Drop the older half or more, so that this does not happen for each completion."""
        surplus = 0
        entries, size = self._most_entries // 2, self._most_bytes // 2
        while len(self._entries) - surplus > entries or self._bytes > size:
            self._bytes -= len(self._entries[surplus].encoded)
            surplus += 1
        del self._entries[:surplus]
        self.start += surplus

    def cut(self, wanted: OrderFilter, *, after: int, limit: int) -> Cut:
        """Return what follows sequence `after`, up to one message's size; `start` <= `after`."""
        if wanted.customer_id is not None or wanted.tier is not None:
            return self._cut(wanted, after, limit)
        cut = self._cuts.get((after, limit))
        if cut is None:  # otherwise another subscriber was at the same sequence
            cut = self._cuts[after, limit] = self._cut(wanted, after, limit)
        return cut

    def _cut(self, wanted: OrderFilter, after: int, limit: int) -> Cut:
        parts: list[bytes] = []
        size = 0
        for index in range(after - self.start, len(self._entries)):
            sequence, customer_id, tier, encoded = self._entries[index]
            if not wanted.covers(customer_id, tier):
                continue
            size += len(encoded)
            if len(parts) == limit or (parts and size > MESSAGE_BYTES):
                return Cut(b"".join(parts), sequence - 1)
            parts.append(encoded)
        return Cut(b"".join(parts), max(self.end, after))
