"""Handlers that do nothing, or next to nothing: what is measured is the service."""

import asyncio
import os
import time

from orderintake.work import OrderAttempt

NOTES = "BENCH_NOTES"
"""The variable that names the file of `note`."""
NAP_SECONDS = 0.1
BLOCK, BLOCK_SECONDS = "block", 2.0


async def handle(_: OrderAttempt) -> None:
    """Do nothing."""


async def note(order: OrderAttempt) -> None:
    """Note where it began, when, and how many seconds after it was accepted."""
    now = time.time()
    notes = os.open(os.environ[NOTES], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(notes, f"{os.getpid()} {now} {now - order.accept_time.timestamp()}\n".encode())
    os.close(notes)


async def note_and_hang(order: OrderAttempt) -> None:
    """Note when it began; never end the first attempt."""
    await note(order)
    if order.attempt == 1:
        await asyncio.Event().wait()


async def nap(_: OrderAttempt) -> None:
    """Take a tenth of a second."""
    await asyncio.sleep(NAP_SECONDS)


async def block(order: OrderAttempt) -> None:
    """Block the process's loop, which no handler should, where the order says so."""
    if order.labels["channel"] == BLOCK:
        time.sleep(BLOCK_SECONDS)  # noqa: ASYNC251 - that is it
