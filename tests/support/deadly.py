"""Handlers that end, freeze or block their process: what only a process of its own contains."""

import asyncio
import ctypes
import os
import re
import signal
import sys
import threading
import time

from orderintake.work import OrderAttempt
from support.handlers import ask_gate

BUSY_SECONDS = 2.0
"""So long a process stands still that goes on afterwards."""


def exits() -> None:
    """End as if all were well."""
    os._exit(0)


def exits_in_a_thread() -> None:
    """End from where nobody is looking."""
    threading.Thread(target=os._exit, args=(3,)).start()
    time.sleep(BUSY_SECONDS)


def kills() -> None:
    """End as the system does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def kills_its_group() -> None:
    """End all that there is around."""
    os.killpg(0, signal.SIGKILL)


def aborts() -> None:
    """End as a library in C does that finds a fault of its own."""
    os.abort()


def crashes() -> None:
    """Read where nothing is."""
    ctypes.string_at(0)


def becomes_another() -> None:
    """Put another program in its place."""
    os.execv(sys.executable, [sys.executable, "-c", "pass"])  # noqa: S606 - our own


def freezes() -> None:
    """Do nothing any more, and say nothing."""
    os.kill(os.getpid(), signal.SIGSTOP)


def holds_the_lock() -> None:
    """Let no other thread of the process run."""
    until = time.monotonic() + BUSY_SECONDS
    while time.monotonic() < until:
        re.match(r"(a*)*b", "a" * 23)


def blocks() -> None:
    """Let the event loop stand."""
    time.sleep(BUSY_SECONDS)


async def by_label(order: OrderAttempt) -> None:
    """Do what the label says; without one, take a moment."""
    if deed := order.labels.get("deed"):
        globals()[deed]()
    await asyncio.sleep(0.05)


async def by_label_at_gate(order: OrderAttempt) -> None:
    """Ask the test's gate, then do what the label says."""
    await ask_gate(order)
    await by_label(order)
