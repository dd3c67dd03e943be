"""What signals do: which stop the service, and when; and SIGHUP, at which files are read again."""

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
    from types import FrameType

    Heard = Callable[[int, FrameType | None], object]

TOGETHER_SECONDS = 1.0
"""Signals within this time of the first are the same stop: a supervisor and a terminal may both
send one."""
LOOK_SECONDS = 1.0
"""So soon a signal is the service's again that code of a handler has taken over."""
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""They stop the service in order."""
MEANINGLESS = tuple(
    getattr(signal, name)
    for name in ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR")
    if hasattr(signal, name)
)
"""They mean nothing to the service, and would end it if nobody heard them."""
HEARD_AGAIN = "a signal that a handler had taken over is the service's again"

log = get_logger()


def ignore_meaningless() -> None:
    """Let no signal end this process that means nothing to it; a handler may use it for itself.

    They are heard and not ignored: what a process ignores, those that it starts ignore too.
    """
    for number in MEANINGLESS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _tell_ignored)
    os.register_at_fork(after_in_child=_begin_child)


def _begin_child() -> None:
    """Let a child go by its signals as any new process does."""
    for number in MEANINGLESS:
        if signal.getsignal(number) is _tell_ignored:
            signal.signal(number, signal.SIG_DFL)


def _tell_ignored(number: int, _: FrameType | None) -> None:
    log.info("a signal is ignored: it means nothing here", signal=signal.Signals(number).name)


class StopSignals:
    """Waits for SIGTERM, SIGINT or SIGQUIT, or for SIGHUP when the terminal is gone.

    A further signal, more than a second later, ends the process at once. While the terminal is
    there, or never was, SIGHUP looks for files that changed.
    """

    def __init__(self, end: Callable[[int], object], begins: Callable[[], object]) -> None:
        """Listen in the running loop; `end` ends the process with an exit code.

        `begins` is called at the first signal at once, also while a handler blocks the loop.
        """
        self.look_at_files: Callable[[], bool] = lambda: False
        """Looks for files that changed. Returns whether there are any to look at."""
        self._end = end
        self._begins = begins
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._since = 0.0
        self._had_terminal = _has_terminal()
        self._heard: dict[int, Heard] = dict.fromkeys(STOPS, self._on_stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
            self._heard[signal.SIGHUP] = self._on_hangup
        for number, heard in self._heard.items():
            self._loop.add_signal_handler(number, lambda: None)  # it wakes the loop
            signal.signal(number, heard)  # the loop's own is deaf while the loop was made to leave
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._heard)  # who started us may block them
        self._loop.call_later(LOOK_SECONDS, self._hear_again)

    async def wait(self) -> None:
        """Wait for the first signal to stop."""
        await self._stop.wait()

    def on_renewal(self, renew: Callable[[], object]) -> None:
        """Let SIGUSR2 renew the worker processes; it means nothing where there are none."""
        self._loop.add_signal_handler(signal.SIGUSR2, renew)

    def _hear_again(self) -> None:
        """Take back, now and then, what code of a handler has taken over."""
        for number, heard in self._heard.items():
            if signal.getsignal(number) != heard:
                signal.signal(number, heard)
                log.warning(HEARD_AGAIN, signal=signal.Signals(number).name)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._heard)
        self._loop.call_later(LOOK_SECONDS, self._hear_again)

    def _on_stop(self, number: int, _: FrameType | None = None) -> None:
        if not self._since:
            self._since = time.monotonic()
            self._begins()
            self._loop.call_soon_threadsafe(self._begin)
        elif time.monotonic() - self._since >= TOGETHER_SECONDS:
            self._end(128 + number)

    def _begin(self) -> None:
        self._stop.set()
        self._loop.call_later(TOGETHER_SECONDS, log.debug, "another signal ends at once")

    def _on_hangup(self, number: int, _: FrameType | None) -> None:
        if self._had_terminal and not _has_terminal():
            self._on_stop(number)
        else:
            self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        if self.look_at_files():
            log.info("SIGHUP: files are read again if they changed")
        else:
            log.info("SIGHUP is ignored: the terminal is still there, or there never was one")


def _has_terminal() -> bool:
    """Tell whether the process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # it cannot be told
    return True
