"""Which signals stop a worker: the first lets it drain, another one hurries it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TOGETHER_SECONDS = 1.0
"""Signals within this time of the first are the same stop: a supervisor and a terminal may both
send one."""
RESORT_SECONDS = 0.85
"""A worker that was told to hurry and has not ended by then is ended: its loop is blocked."""
LATE_SECONDS = 10.0
"""The same for a drain, beyond what its attempts get."""
LOOK_SECONDS = 1.0
"""So soon signals are heard again when code of a handler has taken them over."""
LAST_SECONDS = 0.15
"""How long the server may take to hear of it then."""


class Stops(Protocol):
    """What is stopped: a Worker."""

    def stop(self) -> None:
        """Drain."""

    def hurry(self) -> None:
        """Drain within a second."""

    def announce_stop(self) -> None:
        """Tell the server of the stop, from any thread."""

    def give_up(self, seconds: float) -> None:
        """Give all back, from any thread; the process ends then."""


class StopSignals:
    """Listens for SIGTERM, SIGINT, and SIGHUP unless that is ignored, in a thread of its own.

    A signal may reach any thread of the process, and Python's way to handle it is the main one's,
    which a handler may block: so it is heard by the descriptor that every signal is written to.
    """

    def __init__(self, worker: Stops, drain_seconds: float) -> None:
        """Stop `worker`, whose attempts get `drain_seconds`."""
        self._worker, self._drain_seconds = worker, drain_seconds

    def listen(self) -> None:
        """Listen from now on; to be called in the worker's loop, in the main thread."""
        self._loop = asyncio.get_running_loop()
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)  # noqa: FBT003 - as socket has it
        threading.Thread(target=self._listen, name="stop-signals", daemon=True).start()
        heard = [each for each in STOPS if signal.getsignal(each) is not signal.SIG_IGN]  # nohup
        for number in heard:
            signal.signal(number, _heard)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)  # who started us may block them
        self._take()

    def _take(self) -> None:
        """Take the descriptor, and take it back now and then from code of a handler."""
        signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._loop.call_later(LOOK_SECONDS, self._take)

    def _listen(self) -> None:
        """Stop the worker; end the process when its loop is blocked."""
        self._next(None)
        since = time.monotonic()
        self._call(self._worker.stop)
        self._worker.announce_stop()
        end = since + self._drain_seconds + LATE_SECONDS
        while (now := time.monotonic()) < end and self._next(end - now):
            if time.monotonic() - since >= TOGETHER_SECONDS:
                self._call(self._worker.hurry)
                time.sleep(RESORT_SECONDS)
                break
        self._worker.give_up(LAST_SECONDS)
        os._exit(0)

    def _next(self, seconds: float | None) -> bool:
        """Wait for a signal to stop; False when none came in so many seconds."""
        self._reading.settimeout(seconds)
        try:
            while not set(STOPS).intersection(self._reading.recv(64)):
                pass
        except TimeoutError:
            return False
        return True

    def _call(self, stop: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed: it is over
            self._loop.call_soon_threadsafe(stop)


def _heard(_: int, __: FrameType | None) -> None:
    """Do nothing: what hears a signal is its number in the descriptor."""


def follow(lifeline: int) -> None:
    """Stop this process when the pipe ends whose reading end this is: who started it has ended."""

    def wait() -> None:
        with suppress(OSError):
            os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    os.set_inheritable(lifeline, False)  # noqa: FBT003 - as os has it
    threading.Thread(target=wait, name="lifeline", daemon=True).start()
