"""Handlers that succeed, and change what the whole process goes by."""

import asyncio
import atexit
import os
import signal
import sys
import threading
from typing import NoReturn

from orderintake.work import OrderAttempt


class Nothing:
    """A stream that is none."""

    def __getattribute__(self, _: str) -> NoReturn:
        raise KeyboardInterrupt


def cancel_all() -> None:
    """Do as some clean-up code does."""
    for task in asyncio.all_tasks():
        task.cancel()


def replace_streams() -> None:
    """Leave streams that cannot be flushed."""
    sys.stdout = sys.stderr = Nothing()


def hang_at_exit() -> None:
    """Let Python wait for ever when it ends."""
    atexit.register(threading.Event().wait)


def exit_at_exit() -> None:
    """Ask for another exit code."""
    atexit.register(sys.exit, 9)


def take_signals() -> None:
    """Take the signals to stop away, as some libraries do."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def drop_signals() -> None:
    """Give the signals to stop back to the system."""
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


def block_signals() -> None:
    """Let no signal reach the thread that hears them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def ring_alarm() -> None:
    """Send this process signals that end a process by default."""
    for number in (signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPROF):
        os.kill(os.getpid(), number)


async def handle(order: OrderAttempt) -> None:
    """Do what the order's label says, if it has one."""
    if what := order.labels.get("leaves"):
        globals()[what]()
