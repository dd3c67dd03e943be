"""What every rival's own module is made of: how orders are handled, and how they are placed.

A module is run as `python -m rivals.NAME place ADDRESS` or `... work ADDRESS`. One that places
reads a line of JSON for each thing to do and answers with a line. One that works marks each order
in the file MARKS: when it started, its number, and whether it was a VIP's.
"""

import asyncio
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import uvloop

Place = Callable[[int, bool], Awaitable[Any]]
"""Places an order by its number, VIP or not; returns once it is acknowledged."""
MARK = struct.Struct("<dqq")
CONCURRENCY = int(os.environ.get("CONCURRENCY", "64"))
HANDLING = float(os.environ.get("HANDLING", "0"))
"""Seconds that each order takes."""
ORDER = {
    "customer_id": "customer-0001",
    "lines": {"article-0001": 2},
    "labels": {"channel": "web"},
}
_marks: list[int] = []


def content(number: int, vip: bool) -> dict[str, Any]:  # noqa: FBT001 - as it is told
    """Give what a rival's message holds."""
    return {**ORDER, "number": number, "vip": vip}


def mark(number: int, vip: bool) -> None:  # noqa: FBT001 - as it is told
    """Note that an order started."""
    if not _marks:
        _marks.append(os.open(os.environ["MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    os.write(_marks[0], MARK.pack(time.time(), number, vip))


async def handle(number: int, vip: bool) -> None:  # noqa: FBT001 - as it is told
    """Process an order."""
    mark(number, vip)
    if HANDLING:
        await asyncio.sleep(HANDLING)


async def place_all(place: Place, asked: dict[str, Any]) -> dict[str, Any]:
    """Place so many orders, so many at a time; stop at the first that fails."""
    numbers = iter(range(asked["first"], asked["first"] + asked["count"]))
    acknowledged: list[int] = []
    seconds: list[float] = []
    failed: list[str] = []

    async def caller() -> None:
        for number in numbers:
            began = time.perf_counter()
            try:
                await asyncio.wait_for(place(number, asked["vip"]), 20)
            except Exception as error:  # noqa: BLE001 - its broker was killed
                failed.append(repr(error))
            if failed:
                return
            seconds.append(time.perf_counter() - began)
            acknowledged.append(number)

    await asyncio.gather(*(caller() for _ in range(asked["in_flight"])))
    return {"acknowledged": acknowledged, "seconds": seconds, "failed": failed[:1]}


async def place_paced(place: Place, asked: dict[str, Any]) -> dict[str, Any]:
    """Place an order each `every` seconds; tell when each was begun."""
    began, placed, start = {}, [], time.monotonic()
    for at in range(asked["count"]):
        await asyncio.sleep(max(start + at * asked["every"] - time.monotonic(), 0))
        number = asked["first"] + at
        began[number] = time.time()
        placed.append(asyncio.ensure_future(place(number, asked["vip"])))
    await asyncio.gather(*placed)
    return {"began": began}


async def _placing(opened: AbstractAsyncContextManager[Place]) -> None:
    async with opened as place:
        print("{}", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            act = place_paced if "every" in asked else place_all
            print(json.dumps(await act(place, asked)), flush=True)


def main(
    opened: Callable[[str], AbstractAsyncContextManager[Place]],
    work: Callable[[str], Awaitable[None]],
) -> None:
    """Place, or work, as the command line says."""
    what, address = sys.argv[1:]

    async def working() -> None:
        await work(address)

    uvloop.run(_placing(opened(address)) if what == "place" else working())
