"""A sink for lines: a bounded queue and a thread that writes, so that no writer waits or fails."""

from __future__ import annotations

import os
import select
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE_BYTES = 4 * 1024 * 1024
"""The most that waits to be written; lines beyond are dropped and counted."""
RETRY_SECONDS = 1.0
"""How often the count of dropped lines is tried to be told, while nothing else is written."""

LOST = {"queue": 0, "write": 0, "folded": 0}
"""Lines of this process that no log has: too many waited, they could not be written, or they were
repeated so often that only their number was told."""


class LineSink:
    """Writes lines to a descriptor, each as a whole, in a thread of its own.

    `put` returns at once and raises nothing, whatever the descriptor does: one that is full,
    closed or read by nobody costs lines. How many were dropped is told by the line that `notice`
    makes of the count, as soon as lines can be written again.
    """

    def __init__(self, descriptor: int, notice: Callable[[int], str]) -> None:
        """Write to `descriptor`, which nobody else closes."""
        self._descriptor = descriptor
        self._notice = notice
        self._rest = b""
        self._dropped = self._waiting_bytes = 0
        self._start()
        os.register_at_fork(after_in_child=self._become_child)

    def _start(self) -> None:
        self._lock = threading.RLock()  # reentrant: a finalizer may log while `put` runs
        self._queue: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._is_child = False
        self._thread.start()

    def _become_child(self) -> None:
        """Write without a thread: a forked child has none, and may end at any moment."""
        self._lock, self._is_child, self._rest = threading.RLock(), True, b""

    def put(self, line: str) -> None:
        """Let a line or several be written soon, or drop them when too much waits already."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._is_child:
            self._try_to_write(data)
            return
        with self._lock:
            if self._waiting_bytes + len(data) > QUEUE_BYTES:
                self._dropped += _lines(data)
                LOST["queue"] += _lines(data)
                return
            self._waiting_bytes += len(data)
        self._queue.put(data)

    def flush(self, seconds: float) -> None:
        """Wait until what was put is written or dropped, at most for so long."""
        if not self._is_child:
            written = threading.Event()
            self._queue.put(written)
            written.wait(seconds)

    # The thread

    def _run(self) -> None:
        while True:
            with suppress(Empty):
                item = self._queue.get(timeout=RETRY_SECONDS if self._dropped else None)
                if isinstance(item, threading.Event):
                    self._tell_dropped()
                    item.set()
                    continue
                self._write_line(item)
            if self._queue.empty():
                self._tell_dropped()

    def _write_line(self, data: bytes) -> None:
        is_written = self._try_to_write(data)
        with self._lock:
            self._waiting_bytes -= len(data)
            if not is_written:
                self._dropped += _lines(data)
                LOST["write"] += _lines(data)

    def _tell_dropped(self) -> None:
        with self._lock:
            count = self._dropped
        if count and self._try_to_write(self._notice(count).encode() + b"\n"):
            with self._lock:
                self._dropped -= count

    def _try_to_write(self, data: bytes) -> bool:
        """Write the line after the rest of one that was begun; tell whether it is begun itself.

        A line that is begun counts as written: its rest goes before any other.
        """
        pending = self._rest + data
        try:
            while pending:
                pending = pending[self._write_some(pending) :]
        except OSError:
            is_begun = len(pending) < len(data)
            self._rest = pending if is_begun else pending[: len(pending) - len(data)]
            return is_begun
        self._rest = b""
        return True

    def _write_some(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # somebody made it non-blocking: waiting is this thread's work
                waiting = select.poll()
                waiting.register(self._descriptor, select.POLLOUT)
                waiting.poll(RETRY_SECONDS * 1_000)


def _lines(data: bytes) -> int:
    return data.count(b"\n")
