# ruff: noqa: T201, TRY301 - to print and to raise is what they are for
"""Handlers that write to standard error in every way there is."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
import warnings

from orderintake_server.handlers import OrderAttempt

LINES, LINE = 1_000, "x" * 10_000
"""More than any pipe and queue hold."""


class Unspeakable:
    """A value that raises what it likes when it is put into words."""

    def __repr__(self) -> str:
        raise SystemExit(3)

    __str__ = __repr__


class UnspeakableError(Exception):
    """An error that cannot be told either."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


def much(_: OrderAttempt) -> None:
    """Log more than anything holds, in lines that differ, so that none is folded."""
    for number in range(LINES):
        logging.getLogger("shop").warning("%d %s", number, LINE)


def every_way(_: OrderAttempt) -> None:
    """Write a line in each way that there is."""
    print("printed", file=sys.stderr)
    print("in pieces", end="", file=sys.stderr)
    print(", one line\nand another", file=sys.stderr)
    os.write(2, b"written to the descriptor \xff\n")
    subprocess.run([sys.executable, "-c", "import os; os.write(2, b'by a child\\n')"], check=True)
    logging.getLogger("shop").error("logged %s", "by logging")
    logging.getLogger("shop").error("logged %d", "badly")
    logging.getLogger("shop").error("unspeakable %s", Unspeakable())
    logging.getLogger("shop").error("lines\nin an event\x1b[31m")
    try:
        raise UnspeakableError
    except UnspeakableError:
        logging.getLogger("shop").exception("with a traceback")
    warnings.warn("a warning", stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


async def forgotten(_: OrderAttempt) -> None:
    """Leave a task behind whose error nobody asks for."""
    failing = asyncio.get_running_loop().create_future()
    failing.set_exception(LookupError("forgotten"))
    del failing
    logging.getLogger("asyncio").warning("told by asyncio")


async def prints(_: OrderAttempt) -> None:
    """Print more to standard output than anything holds."""
    for _line in range(LINES):
        print(LINE)
