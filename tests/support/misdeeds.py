"""What a handler can do to its process short of ending it: a table, one misdeed for each name."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from random import Random
from typing import Any

from orderintake.work import OrderAttempt, Retry
from support import hostile

LINGER_SECONDS = 8.0
"""So long a handler goes on when its time is over: longer than it may tidy up."""
BLOCK_SECONDS = 0.1, 0.5
"""The least and the most that the event loop is blocked."""
SHORT_SECONDS = 1.0
"""What is left behind ends by itself after so long: the next hundred of it are on their way."""
CHILD_SECONDS = 60.0
"""A child that nobody ends would live so long."""

Deed = Callable[[OrderAttempt], object]

_log = logging.getLogger("misdeeds")


def _until_late(order: OrderAttempt) -> float:
    """Tell in how many seconds an attempt is long over; every later attempt is done at once."""
    return (order.seconds_left or 0) + LINGER_SECONDS if order.attempt == 1 else 0.0


# In a thread


def hangs(order: OrderAttempt) -> None:
    """Hold the thread until long after its time is over."""
    threading.Event().wait(_until_late(order))


def forks(order: OrderAttempt) -> None:
    """Fork a child that ends as badly as one can, and wait for it."""
    how = hostile.of(order).randrange(6)
    if (pid := os.fork()) == 0:
        _end_badly(how)
    os.waitpid(pid, 0)


def _end_badly(how: int) -> None:
    """End as a child: whatever comes out of here comes out of its handler."""
    match how:
        case 0:
            os._exit(9)
        case 1:
            sys.exit("a child")
        case 2:
            raise KeyboardInterrupt
        case 3:
            os.abort()
        case 4:
            os.closerange(0, 4096)
        case _:
            asyncio.run(asyncio.sleep(0.01))


def signals_its_child(order: OrderAttempt) -> None:
    """Fork a child that sleeps, and end it by a signal."""
    chance = hostile.of(order)
    if (pid := os.fork()) == 0:
        time.sleep(CHILD_SECONDS)
        os._exit(0)
    time.sleep(chance.choice([0, 0.01]))
    os.kill(pid, chance.choice([signal.SIGTERM, signal.SIGKILL, signal.SIGHUP]))
    os.waitpid(pid, 0)


def uses_processes(order: OrderAttempt) -> None:
    """Start a process as most people do; end it, or wait for it."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0.01,))
    child.start()
    if hostile.of(order).random() < 0.5:
        child.terminate()
    child.join()


def leaves_a_child(order: OrderAttempt) -> None:
    """Fork a child and never wait for it."""
    if os.fork() == 0:
        time.sleep(SHORT_SECONDS)


def leaves_threads(order: OrderAttempt) -> None:
    """Leave threads behind: one that fails, and one that sleeps."""
    threading.Thread(target=sys.exit, args=(3,)).start()
    threading.Thread(target=hostile.an_exception(hostile.of(order)).with_traceback).start()
    threading.Thread(target=time.sleep, args=(SHORT_SECONDS,)).start()


def runs_a_loop_of_its_own(order: OrderAttempt) -> None:
    """Run an event loop in the thread, and leave it by KeyboardInterrupt."""
    asyncio.run(hostile.raises(KeyboardInterrupt()))


def floods_the_log(order: OrderAttempt) -> None:
    """Log what is huge, what is not the text's, and what cannot be told."""
    _log.warning(hostile.HUGE)
    _log.warning("%d %s", "one")
    _log.error("%s", hostile.Words("words"), extra={"one": hostile.Number(1), "two": object()})
    _log.error("\x1b[2J\x00\udce9", exc_info=hostile.an_exception(hostile.of(order)))
    sys.stderr.write("\udce9\n" * 100)


def forgets_descriptors(order: OrderAttempt) -> None:
    """Open what it does not close, and close what somebody of its own has open."""
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(OSError):
        os.write(writing, b"to nobody")
    one, _ = socket.socketpair()
    os.close(one.detach())


def changes_what_all_share(order: OrderAttempt) -> None:
    """Change what a process has only once."""
    os.chdir("/")
    random.seed(1)
    socket.setdefaulttimeout(0.01)
    warnings.simplefilter("error")
    logging.getLogger().setLevel(logging.DEBUG)
    sys.setswitchinterval(0.01)


# In the event loop


async def blocks_the_loop(order: OrderAttempt) -> None:
    """Let the event loop stand for a moment."""
    time.sleep(hostile.of(order).uniform(*BLOCK_SECONDS))  # noqa: ASYNC251 - that is it


async def swallows_its_cancellation(order: OrderAttempt) -> None:
    """Go on until long after its time is over, whoever cancels it."""
    end = time.monotonic() + _until_late(order)
    while time.monotonic() < end:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)


async def cancels_itself(order: OrderAttempt) -> None:
    """End by a cancellation that nobody asked for."""
    task = asyncio.current_task()
    assert task
    task.cancel()
    await asyncio.sleep(CHILD_SECONDS)


async def leaves_tasks(order: OrderAttempt) -> None:
    """Leave tasks behind: one that sleeps, one that swallows its cancellation, one that raises."""
    chance = hostile.of(order)
    for coroutine in (
        asyncio.sleep(SHORT_SECONDS),
        swallows_its_cancellation(order),
        hostile.raises(hostile.an_exception(chance)),
    ):
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(coroutine)
        hostile.left.add(task)
        task.add_done_callback(hostile.left.discard)


async def fails_with_others(order: OrderAttempt) -> None:
    """Fail in a group of tasks; what raises when it is looked at would let the group hang."""
    error = hostile.of(order).choice([ValueError, KeyboardInterrupt, SystemExit, BaseException])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hostile.raises(error()))
        tasks.create_task(asyncio.sleep(CHILD_SECONDS))


async def retries_at_once(order: OrderAttempt) -> None:
    """Ask for another attempt as long as there is one."""
    raise Retry(after=0, code=hostile.HUGE, text=hostile.HUGE)


async def forks_in_the_loop(order: OrderAttempt) -> None:
    """Fork a child in the event loop, that goes on as if it were the server."""
    if (pid := os.fork()) == 0:
        await asyncio.sleep(0.01)
    else:
        await asyncio.to_thread(os.waitpid, pid, 0)


DEEDS: dict[str, Deed] = {
    deed.__name__: deed
    for deed in (
        *(hostile.sync, hostile.in_loop, hostile.leaves_behind),
        *(forks, signals_its_child, uses_processes, leaves_a_child, leaves_threads),
        *(runs_a_loop_of_its_own, floods_the_log, forgets_descriptors, changes_what_all_share),
        *(blocks_the_loop, cancels_itself, leaves_tasks, fails_with_others, retries_at_once),
        *(forks_in_the_loop, hangs, swallows_its_cancellation),
    )
}
"""Every misdeed. What ends the process is none: no process can contain that."""
LONG = {"hangs", "swallows_its_cancellation"}
"""Those that last longer than an attempt may."""
QUICK = sorted(DEEDS.keys() - LONG)


def do(name: str, order: OrderAttempt) -> Any:  # noqa: ANN401 - whatever comes of it
    """Do what the name says; what is done in the event loop is given to be awaited there."""
    return DEEDS[name](order)


def quick(order: OrderAttempt) -> Any:  # noqa: ANN401 - as above
    """Do one of the quick ones, as the order's seed says, unless its label says that it is good."""
    way = order.labels.get("way")
    if way in {"good", "leaves"}:
        return hostile.any_of(order)
    return do(Random(order.labels["seed"]).choice(QUICK), order)
