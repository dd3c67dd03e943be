"""Which signals stop a worker: the first lets it drain, another one hurries it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TOGETHER_SECONDS = 1.0
"""Signals within this time of the first are the same stop: a supervisor and a terminal may both
send one."""
RESORT_SECONDS = 0.85
"""A worker that was told to hurry and has not ended by then is ended: its loop is blocked."""
LATE_SECONDS = 10.0
"""The same for a drain, beyond what its attempts get."""
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
    """Listens for SIGTERM, SIGINT, and SIGHUP unless that is ignored."""

    def __init__(self, worker: Stops, drain_seconds: float) -> None:
        """Stop `worker`, whose attempts get `drain_seconds`."""
        self._worker, self._drain_seconds = worker, drain_seconds
        self._since = 0.0
        self._begun, self._again = threading.Event(), threading.Event()

    def listen(self) -> None:
        """Listen from now on; the loop of the worker runs, in the main thread."""
        self._loop = asyncio.get_running_loop()
        # Started now, for then there may be no thread left, or the loop may be blocked.
        threading.Thread(target=self._watch, name="stop-watch", daemon=True).start()
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                self._loop.add_signal_handler(number, lambda: None)  # it wakes the loop
                signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # who started us may block them

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        if not self._since:
            self._since = time.monotonic()
            self._call(self._worker.stop)
            self._begun.set()
        elif time.monotonic() - self._since >= TOGETHER_SECONDS:
            self._call(self._worker.hurry)
            self._again.set()

    def _call(self, stop: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: it is over
            self._loop.call_soon_threadsafe(stop)  # type: ignore[arg-type]

    def _watch(self) -> None:
        """Tell of the stop, and end a process whose loop is blocked; also while it is."""
        self._begun.wait()
        self._worker.announce_stop()
        if self._again.wait(self._drain_seconds + LATE_SECONDS):
            time.sleep(RESORT_SECONDS)
        self._worker.give_up(LAST_SECONDS)
        os._exit(0)


def follow(lifeline: int) -> None:
    """Stop this process when the pipe ends whose reading end this is: who started it has ended."""

    def wait() -> None:
        with suppress(OSError):
            os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    os.set_inheritable(lifeline, False)  # noqa: FBT003 - as os has it
    threading.Thread(target=wait, name="lifeline", daemon=True).start()
