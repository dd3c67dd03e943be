"""What a worker process logs, as lines of the server's own log."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from orderintake_server import logger
from orderintake_server.logger import get_logger
from orderintake_server.telemetry.redaction import redacted
from orderintake_server.texts import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CHUNK_BYTES = 64 * 1024
"""So much is read at once; a longer line is cut into pieces."""
BYTES_A_SECOND = 1024 * 1024
"""A process that logs more has to wait, and takes no more of the server's time."""
SHARE = 0.05
"""So much of a core its log may take: entries may be short, and dear to read."""
CHARACTERS, ENTRIES = 8 * 1024, 8
"""After so many, which take two milliseconds at the most, the thread rests as its share asks: so a
caller never waits longer for it.
"""

_BLANK = re.compile(r"\n(?:[^\S\n]*\n)+")
"""Lines without a character that is seen."""

log = get_logger()


def read_log(descriptor: int, form: str) -> None:
    """Read what a process logs, in this form, until it and its children have ended."""
    rest = b""
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        while data := pipe.read(CHUNK_BYTES):
            began = time.monotonic()
            lines, _, rest = (rest + data).rpartition(b"\n")
            if len(rest) > CHUNK_BYTES:
                lines, rest = b"\n".join(filter(None, (lines, rest))), b""
            _pass_on(lines, form)
            time.sleep(max(0.0, len(data) / BYTES_A_SECOND - (time.monotonic() - began)))
    _pass_on(rest, form)


def _pass_on(lines: bytes, form: str) -> None:
    """Pass lines on, and wait as long as they took too much of a core."""
    text = lines.decode("utf-8", "backslashreplace")
    if form == "text":
        pieces: Iterable[None] = _pass_on_text(text)
    else:
        pieces = _pass_on_entries(text.split("\n"))
    began = time.thread_time()
    for _ in pieces:
        worked, began = time.thread_time() - began, time.thread_time()
        time.sleep(worked * (1 / SHARE - 1))


def _pass_on_text(text: str) -> Iterator[None]:
    """Pass lines on together: one of them may be an entry's, and an entry may have thousands."""
    seen = _BLANK.sub("\n", text).strip("\n")
    clean = []
    for begin in range(0, len(seen), CHARACTERS):
        clean.append(escaped(seen[begin : begin + CHARACTERS], may_have_lines=True))
        yield
    if seen and not seen.isspace():
        logger.pass_on(redacted("".join(clean)))
    yield


def _pass_on_entries(lines: Sequence[str]) -> Iterator[None]:
    """Pass lines on that are entries in JSON; make one of each other; yield now and then."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            _pass_on_entry(line)
        if number % ENTRIES == 0:
            yield
    yield


def _pass_on_entry(line: str) -> None:
    with suppress(ValueError, RecursionError):
        entry = json.loads(line)
        if isinstance(entry, dict) and isinstance(entry.get("event"), str):
            logger.pass_on(redacted(line))
            return
    log.warning(line)
