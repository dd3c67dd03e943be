"""Handlers that fork: by multiprocessing, by a pool, by os.fork, in a thread or in the loop."""

import asyncio
import contextlib
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache

from google.protobuf.struct_pb2 import Struct

from orderintake.work import OrderAttempt

LONG = 600.0


def told(pid: int) -> Struct:
    """Tell the child's pid by the order's result."""
    result = Struct()
    result["pid"] = pid
    return result


def ends_its_child(order: OrderAttempt) -> None:
    """Start a child and end it by SIGTERM, at once and a little later."""
    fork = multiprocessing.get_context("fork")
    for seconds in (0.0, 0.05):
        child = fork.Process(target=time.sleep, args=(LONG,))
        child.start()
        time.sleep(seconds)
        child.terminate()
        child.join(30)
        assert child.exitcode == -15, f"{child.pid} ended by {child.exitcode}"


def starts_a_child(order: OrderAttempt) -> Struct:
    """Leave a child behind that goes on for long."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(LONG,))
    child.start()
    assert child.pid
    return told(child.pid)


@cache
def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))


def uses_a_pool(order: OrderAttempt) -> Struct:
    """Work in a pool of processes, which stays."""
    return told(_pool().submit(os.getpid).result())


def forks(order: OrderAttempt) -> Struct:
    """Fork a child that sleeps, and then comes out of the handler."""
    pid = os.fork()
    if pid == 0:
        time.sleep(float(order.labels.get("seconds", LONG)))
    return told(pid)


async def forks_in_the_loop(order: OrderAttempt) -> Struct:
    """Do the same in the loop, with another order beside it."""
    return forks(order)


async def awaits_in_the_child(order: OrderAttempt) -> Struct:
    """Fork a child that goes on with the loop."""
    pid = os.fork()
    await asyncio.sleep(0.01)
    return told(pid)


def raises_in_the_child(order: OrderAttempt) -> Struct:
    """Fork a child that raises; tell how it ended."""
    pid = os.fork()
    if pid == 0:
        raise {"exit": SystemExit(7), "error": KeyboardInterrupt()}[order.lines[0].sku]
    _, status = os.waitpid(pid, 0)
    return told(os.waitstatus_to_exitcode(status))


def forks_twice(order: OrderAttempt) -> Struct:
    """Fork a child that forks a child, and leave both."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            os.fork()
        time.sleep(LONG)
    return told(pid)


def starts_many(order: OrderAttempt) -> Struct:
    """Start children one after the other; tell how each ended."""
    fork = multiprocessing.get_context("fork")
    codes = []
    for _ in range(int(order.labels["children"])):
        child = fork.Process(target=time.sleep, args=(0.02,))
        child.start()
        child.join()
        codes.append(child.exitcode)
    result = Struct()
    result.update({"ends": {str(code): codes.count(code) for code in codes}})
    return result


def ends(result: Struct) -> dict[str, int]:
    """Read how many children ended with each exit code."""
    found = result["ends"]
    assert isinstance(found, Struct)
    return {code: round(value.number_value) for code, value in found.fields.items()}
