"""A handler that does what an order's label `do` says, and a lifespan: for worker processes."""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from orderintake.work import OrderAttempt

FOREVER_SECONDS = 3_600.0

_log = logging.getLogger("shop")


@asynccontextmanager
async def resources() -> AsyncIterator[str]:
    """Give something, and tell the log when it is opened and closed."""
    _log.info("opened")
    yield "a pool"
    _log.info("closed")


def broken() -> None:
    """Begin badly."""
    raise OSError("no database")


async def does(order: OrderAttempt) -> None:
    """Do it."""
    seconds = float(order.labels.get("seconds", FOREVER_SECONDS))
    do = order.labels.get("do", "")
    if do == "wait":
        _log.info("waiting", extra={"resources": order.resources})
        await asyncio.sleep(seconds)
    elif do == "block":
        _log.info("blocking")
        time.sleep(seconds)  # noqa: ASYNC251 - that is what is tried
    elif do in _DEEDS:
        _DEEDS[do]()


def hangs(order: OrderAttempt) -> None:
    """Never end, in a thread."""
    _log.info("hanging")
    threading.Event().wait()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _leave() -> None:
    asyncio.get_running_loop().call_soon(sys.exit, 3)


def _log_a_line() -> None:
    _log.info("a line")


_DEEDS: dict[str, Callable[[], object]] = {
    "die": _die,
    "leave": _leave,
    "exit": sys.exit,
    "log": _log_a_line,
}
