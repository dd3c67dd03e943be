"""The process's standard error: everything that anybody writes to it becomes a line of the log."""

from __future__ import annotations

import atexit
import io
import logging
import os
import re
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from orderintake_server.logger import get_logger
from orderintake_server.telemetry.bridge import Bridge
from orderintake_server.telemetry.log import configure_log, renderer
from orderintake_server.telemetry.redaction import redacted
from orderintake_server.telemetry.sink import LineSink
from orderintake_server.texts import escaped

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, TextIO

FLUSH_SECONDS = 1.0
"""How long the end of the process waits for a log that takes nothing."""
LINE_BYTES = 64 * 1024
"""A foreign line is cut into pieces of this size."""
STANDARD_ERROR = 2

_GRPC_LEVEL = re.compile(r"([IWEF])\d{4} ")
_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "critical"}

log = get_logger()


class LogOutput:
    """Owns the descriptor of standard error, and what is written to it by whomever.

    From now on, structlog, logging, warnings, uncaught exceptions, sys.stderr and what C libraries
    write to descriptor 2 all go through one sink, which never fails and never blocks.
    """

    def __init__(self, *, form: str) -> None:
        """Take standard error over; `configure` sets form and level once they are known."""
        self._form = form
        self._own = os.dup(STANDARD_ERROR)
        self._has_colors = os.isatty(self._own)
        self._sink = LineSink(self._own, self._notice)
        self.configure(form=form, level="info")
        self._reader = self._read_descriptor()
        self._stdout = LineSink(os.dup(1), lambda count: f"{count} lines were dropped")
        self._streams = _stream(self._stdout.put, 1), _stream(self.line, STANDARD_ERROR)
        sys.stdout, sys.stderr = self._streams
        _take_over_hooks()
        atexit.register(self.close)

    def configure(self, *, form: str, level: str) -> None:
        """Write entries as "text" or "json", from `level` upwards."""
        self._form = form
        self._render = renderer(form, has_colors=self._has_colors and form == "text")
        configure_log(form=form, level=level, write=self._sink.put, has_colors=self._has_colors)
        root = logging.getLogger()
        root.handlers = [Bridge()]
        root.setLevel(level.upper())
        logging.raiseExceptions = False
        logging.captureWarnings(capture=True)

    def line(self, text: str, level: str = "") -> None:
        """Write a line that is no entry: as it is in a log of texts, else as an entry's event."""
        if not text.strip():
            return
        if self._form == "text":
            self._sink.put(redacted(escaped(text)))
            return
        known = _GRPC_LEVEL.match(text)
        level = level or (_LEVELS[known[1]] if known else "warning")
        self._sink.put(self._entry(level, text))

    def _notice(self, count: int) -> str:
        return self._entry("warning", "log lines were dropped: they could not be written", count)

    def _entry(self, level: str, event: str, count: int | None = None) -> str:
        fields: dict[str, object] = (
            {"event": event}
            if count is None
            else {
                "event": event,
                "count": count,
            }
        )
        return str(self._render(None, level, fields))

    def _read_descriptor(self) -> threading.Thread:
        """Put a pipe in the place of descriptor 2, and start to read from it.

        Its writers never wait: a line that does not fit into the pipe is lost, for one who waits
        may hold Python's lock, which the reader needs.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        os.dup2(writing, STANDARD_ERROR)
        os.close(writing)

        def read() -> None:
            lines = _Lines(self.line, STANDARD_ERROR)
            while data := os.read(reading, LINE_BYTES):
                lines.write(data)

        thread = threading.Thread(target=read, name="log-reader", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Write what is left, and wait for it; for two seconds at the most."""
        with suppress(OSError):
            os.dup2(self._own, STANDARD_ERROR)  # the pipe ends, unless a child holds it too
        self._reader.join(FLUSH_SECONDS)
        for stream in self._streams:
            with suppress(ValueError):  # a handler may have closed it
                stream.flush()
        self._stdout.flush(FLUSH_SECONDS)
        self._sink.flush(FLUSH_SECONDS)


def _stream(write_line: Callable[[str], object], number: int) -> TextIO:
    """Return a text stream that passes on lines, and stands for the descriptor `number`."""
    lines: Any = _Lines(write_line, number)
    return io.TextIOWrapper(lines, encoding="utf-8", errors="backslashreplace", write_through=True)


class _Lines(io.RawIOBase):
    """Takes bytes and passes them on by lines."""

    def __init__(self, write_line: Callable[[str], object], number: int) -> None:
        self._write_line = write_line
        self._number = number
        self._rest = b""

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor that programs started by this one write to."""
        return self._number

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer of bytes
        """Pass on every line that is complete now."""
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        if len(self._rest) > LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._write_line(line.decode("utf-8", "backslashreplace").rstrip("\r"))
        return len(data)

    def flush(self) -> None:
        """Pass on what has no line's end yet."""
        rest, self._rest = self._rest, b""
        if rest:
            self._write_line(rest.decode("utf-8", "backslashreplace"))


def _take_over_hooks() -> None:
    """Log uncaught exceptions of any thread, and of finalizers, as entries."""

    def uncaught(_: object, error: BaseException, __: TracebackType | None) -> None:
        log.critical("uncaught exception", exc_info=error)

    def in_thread(found: threading.ExceptHookArgs) -> None:
        log.error("uncaught exception in a thread", exc_info=found.exc_value)

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        log.error("exception that could not be raised", exc_info=found.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, in_thread, unraisable


def open_closed_descriptors() -> None:
    """Open those of the descriptors 0 to 2 that are closed on /dev/null.

    Otherwise files and connections would get these numbers, and be written to as if they were
    standard output.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(number, True)  # noqa: FBT003 - its only other argument
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
