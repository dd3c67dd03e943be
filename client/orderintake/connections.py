"""Which connection each completion stream goes on: further ones are opened as streams need them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

STREAMS = 32
"""How many streams share a connection. A server lets each have 64 calls at once, if it is not told
otherwise, and lets those beyond wait without a word; the rest is for calls."""

Stub = TypeVar("Stub")
Stream = TypeVar("Stream")


@dataclass(eq=False, slots=True)
class _Connection(Generic[Stub, Stream]):
    """A connection, by its stub, and the streams on it."""

    stub: Stub
    streams: set[Stream] = field(default_factory=set)


class Connections(Generic[Stub, Stream]):
    """The connections of one client and the streams on each; any thread may use it.

    The first connection is also for calls. One whose streams have all ended is used again; grpc
    closes it when it is not.
    """

    def __init__(self, first: Stub, connect: Callable[[], Stub], *, most: int = STREAMS) -> None:
        """Begin with the connection of `first`; `connect` opens a further one.

        Each has `most` streams at once.
        """
        self._connect = connect
        self._most = most
        self._lock = threading.Lock()
        self._all: list[_Connection[Stub, Stream]] = [_Connection(first)]

    def join(self, stream: Stream) -> Stub:
        """Tell the connection that a stream goes on, until it leaves."""
        with self._lock:
            free = (each for each in self._all if len(each.streams) < self._most)
            chosen = next(free, None)
            if chosen is None:
                chosen = _Connection(self._connect())
                self._all.append(chosen)
            chosen.streams.add(stream)
            return chosen.stub

    def leave(self, stream: Stream) -> None:
        """Give back the place of a stream that has ended, if it has one."""
        with self._lock:
            for each in self._all:
                each.streams.discard(stream)

    def streams(self) -> list[Stream]:
        """List the streams that have not left."""
        with self._lock:
            return [stream for each in self._all for stream in each.streams]
