"""What a command tells on standard output; where it cannot be written, the exit code says so."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

UNWRITABLE, BROKEN_PIPE = 74, 128 + signal.SIGPIPE
"""The exit codes: as sysexits.h names an error of output, and as a shell reports SIGPIPE."""


def tell(text: str) -> None:
    """Write the text as a line, at once.

    Raises SystemExit when it cannot be written: with UNWRITABLE, after a line on standard error
    that says why, or with BROKEN_PIPE when nobody reads any more.
    """
    try:
        print(text, flush=True)  # noqa: T201 - the one place that writes for people
    except BrokenPipeError:
        _discard()
        raise SystemExit(BROKEN_PIPE) from None
    except OSError as error:
        _discard()
        with suppress(OSError):
            print(f"the output cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
        raise SystemExit(UNWRITABLE) from None


def _discard() -> None:
    """Let what is still to be written fail no more when the interpreter ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
