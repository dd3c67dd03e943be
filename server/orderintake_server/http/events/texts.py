"""The messages of a completion stream as the text of server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.http.json import write_json

if TYPE_CHECKING:
    from orderintake.v1 import order_pb2

WRITTEN_BYTES = 4 * 1024 * 1024
"""So much of what was written last is kept, for readers who are told the same."""

_QUIET = {api.SIGNAL_UNSPECIFIED, api.SIGNAL_HEARTBEAT}
"""What these say is a cursor: a reader's place moves, and no event is fired."""


class EventTexts:
    """Writes messages as events: each completion is one, and so is each signal.

    JSON takes longer than all else that a reader costs, and many readers are told the same, now or
    a little later: a completion is written once for all of them. Any thread may call this.
    """

    def __init__(self, written_bytes: int = WRITTEN_BYTES) -> None:
        """Keep `written_bytes` at the most of what was written."""
        self._most_bytes = written_bytes
        self._bytes = 0
        self.written: dict[bytes, bytes] = {}
        """The newest events, by their completions' bytes."""

    def of(self, encoded: bytes) -> bytes:
        """Return the events of an encoded StreamCompletionsResponse."""
        message = api.StreamCompletionsResponse.FromString(encoded)
        parts = [self._completion(each) for each in message.completions]
        if message.signal not in _QUIET:
            parts.append(_signal(message))
        elif not parts or message.cursor != message.completions[-1].cursor:
            parts.append(_place(message.cursor))
        return b"".join(parts)

    def _completion(self, completion: order_pb2.Completion) -> bytes:
        key = completion.SerializeToString()
        known = self.written.get(key)
        if known is not None:
            return known
        text = b"id: %b\ndata: %b\n\n" % (completion.cursor.encode(), write_json(completion))
        self._keep(key, text)
        return text

    def _keep(self, key: bytes, text: bytes) -> None:
        if self._bytes > self._most_bytes:
            self.written.clear()
            self._bytes = 0
        self._bytes += len(key) + len(text)
        self.written[key] = text


def first(milliseconds: int) -> bytes:
    """Return what tells a reader how long to wait before it comes back."""
    return b"retry: %d\n\n" % milliseconds


def last(error: bytes) -> bytes:
    """Return the event that ends a stream, with the error as JSON."""
    return b"event: end\ndata: %b\n\n" % error


def _signal(message: api.StreamCompletionsResponse) -> bytes:
    name = api.Signal.Name(message.signal).removeprefix("SIGNAL_").lower()
    return b'event: %b\nid: %b\ndata: {"headSequence":"%d"}\n\n' % (
        name.encode(),
        message.cursor.encode(),
        message.head_sequence,
    )


def _place(cursor: str) -> bytes:
    """Return what moves a reader's place: the id counts, for want of data nothing is fired."""
    return b": heartbeat\nid: %b\n\n" % cursor.encode()
