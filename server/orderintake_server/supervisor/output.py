"""What a worker process logs, as lines of the server's own log."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress

from orderintake_server import logger
from orderintake_server.logger import get_logger
from orderintake_server.telemetry.redaction import redacted
from orderintake_server.texts import escaped

CHUNK_BYTES = 64 * 1024
"""So much is read at once; a longer line is cut into pieces."""
BYTES_A_SECOND = 1024 * 1024
"""A process that logs more has to wait, and takes no more of the server's time."""

log = get_logger()


def read_log(descriptor: int, form: str) -> None:
    """Read what a process logs, in this form, until it and its children have ended."""
    rest = b""
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        while data := pipe.read(CHUNK_BYTES):
            began = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > CHUNK_BYTES:
                lines, rest = [*lines, rest], b""
            _pass_on(lines, form)
            time.sleep(max(0.0, len(data) / BYTES_A_SECOND - (time.monotonic() - began)))
    _pass_on([rest], form)


def _pass_on(lines: list[bytes], form: str) -> None:
    for line in lines:
        text = line.decode("utf-8", "backslashreplace")
        if form == "text" and text.strip():
            logger.pass_on(redacted(escaped(text)))
        elif text.strip():
            _pass_on_entry(text)


def _pass_on_entry(text: str) -> None:
    """Pass a line on that is an entry in JSON; make one of any other."""
    with suppress(ValueError, RecursionError):
        entry = json.loads(text)
        if isinstance(entry, dict) and isinstance(entry.get("event"), str):
            logger.pass_on(redacted(text))
            return
    log.warning(text)
