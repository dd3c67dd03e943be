"""The newest completions, encoded once: what all who keep up with the log are served from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import Tier
    from orderintake_server.views import OrderFilter

RING_ENTRIES = 8_192
RING_BYTES = 8 * 1024 * 1024
"""A second or two of completions at full speed: who is further behind reads the log itself."""

MESSAGE_BYTES = 255 * 1024
"""Of completions in one message: with what is said once in it, it stays below 256 KiB."""


class Entry(NamedTuple):
    """A completion as it is sent, and what filters go by."""

    sequence: int
    customer_id: str
    tier: Tier
    encoded: bytes


class Cut(NamedTuple):
    """Encoded completions, one behind the other, and the place in the log where they end."""

    encoded: bytes
    end: int


class Ring:
    """The completions behind `start` up to `end`, without a hole.

    Not all of them are kept for long: the oldest go when there are too many, or too many bytes.
    """

    def __init__(
        self, end: int, *, most_entries: int = RING_ENTRIES, most_bytes: int = RING_BYTES
    ) -> None:
        """Hold nothing yet; what comes follows on `end`."""
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self.restart(end)

    def restart(self, end: int) -> None:
        """Forget all; what comes follows on `end`."""
        self.start = self.end = end
        self._entries: list[Entry] = []
        self._bytes = 0
        self._cuts: dict[tuple[int, int], Cut] = {}

    def extend(self, entries: Sequence[Entry]) -> None:
        """Add the completions that follow."""
        self._entries += entries
        self._bytes += sum(len(entry.encoded) for entry in entries)
        self.end += len(entries)
        self._cuts.clear()
        if len(self._entries) > self._most_entries or self._bytes > self._most_bytes:
            self._forget()

    def _forget(self) -> None:
        """Drop the older half, or more, so that this is not to be done for each completion."""
        surplus = 0
        entries, size = self._most_entries // 2, self._most_bytes // 2
        while len(self._entries) - surplus > entries or self._bytes > size:
            self._bytes -= len(self._entries[surplus].encoded)
            surplus += 1
        del self._entries[:surplus]
        self.start += surplus

    def cut(self, wanted: OrderFilter, *, after: int, limit: int) -> Cut:
        """Give what follows place `after`, as much as one message may hold; `start` <= `after`."""
        if wanted.customer_id is not None or wanted.tier is not None:
            return self._cut(wanted, after, limit)
        cut = self._cuts.get((after, limit))
        if cut is None:  # else another subscriber stood at the same place
            cut = self._cuts[after, limit] = self._cut(wanted, after, limit)
        return cut

    def _cut(self, wanted: OrderFilter, after: int, limit: int) -> Cut:
        found: list[bytes] = []
        size = 0
        for index in range(after - self.start, len(self._entries)):
            sequence, customer_id, tier, encoded = self._entries[index]
            if not wanted.covers(customer_id, tier):
                continue
            size += len(encoded)
            if len(found) == limit or (found and size > MESSAGE_BYTES):
                return Cut(b"".join(found), sequence - 1)
            found.append(encoded)
        return Cut(b"".join(found), max(self.end, after))
