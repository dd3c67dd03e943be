"""Which signals stop the service, and when: an operator's stop is one, however it is sent."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from typing import TYPE_CHECKING

from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

TOGETHER_SECONDS = 1.0
"""Signals within this time of the first are the same stop: a supervisor and a terminal may both
send one."""

log = get_logger()


class StopSignals:
    """Waits for SIGTERM or SIGINT, or for SIGHUP when the terminal is gone.

    A further signal, more than a second later, ends the process at once.
    """

    def __init__(self, end: Callable[[int], object]) -> None:
        """Listen in the running loop; `end` ends the process with an exit code."""
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._since = 0.0
        self._had_terminal = _has_terminal()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, lambda: None)  # it wakes the loop
            # A loop's own handler is deaf while left-behind code has made the loop leave.
            signal.signal(number, lambda number, _: self._on_stop(number))
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
            self._loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    async def wait(self) -> None:
        """Wait for the first signal to stop."""
        await self._stop.wait()

    def _on_stop(self, number: int) -> None:
        if not self._since:
            self._since = time.monotonic()
            self._loop.call_soon_threadsafe(self._begin)
        elif time.monotonic() - self._since >= TOGETHER_SECONDS:
            self._end(128 + number)

    def _begin(self) -> None:
        self._stop.set()
        self._loop.call_later(TOGETHER_SECONDS, log.debug, "another signal ends at once")

    def _on_hangup(self) -> None:
        if self._had_terminal and not _has_terminal():
            self._on_stop(signal.SIGHUP)
        else:
            log.info("SIGHUP is ignored: the terminal is still there, or there never was one")


def _has_terminal() -> bool:
    """Tell whether the process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # it cannot be told
    return True
