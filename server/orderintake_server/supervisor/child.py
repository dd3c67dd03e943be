"""The program of a worker process: the shop's handler, and nothing of the intake."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orderintake.work import forks
from orderintake.work.current import CURRENT
from orderintake.work.finding import HandlerUnusable, check, find
from orderintake.work.lifespan import lifespan
from orderintake.work.process.ending import end_process
from orderintake.work.remote.worker import Worker
from orderintake_server.process.loop import run_to_end
from orderintake_server.process.signals import StopSignals, ignore_meaningless
from orderintake_server.supervisor import lifeline
from orderintake_server.supervisor.talk import READY, UNUSABLE
from orderintake_server.telemetry import LogOutput, open_closed_descriptors
from orderintake_server.telemetry.log import ALWAYS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from orderintake_server.supervisor.instructions import Instructions
    from orderintake_server.supervisor.talk import Talk


def main(told: Instructions, talk: Talk) -> None:
    """Process orders as told, until SIGTERM or the server's end."""
    lifeline.follow(told.lifeline)
    open_closed_descriptors()
    output = LogOutput(form=told.log_format)
    output.configure(form=told.log_format, level=told.log_level)
    ALWAYS.append(partial(_about, told.number))
    with suppress(OSError):  # the working directory was removed
        sys.path.append(str(Path.cwd()))
    end_process(_run(told, talk, output), output.close)


def _run(told: Instructions, talk: Talk, output: LogOutput) -> int:
    """Load the handler, and run until a signal; give the exit code."""
    codes: list[int] = []
    forks.contain()
    forks.note_peer(told.socket)
    ignore_meaningless()
    try:
        handler = find(told.handler)
        check(handler, told.handler)
        begin = find(told.lifespan, "lifespan") if told.lifespan else None
        output.configure(form=told.log_format, level=told.log_level)  # whatever the shop has set
        run_to_end(_work(told, handler, partial(_begun, begin, told.handler, talk), codes))
    except HandlerUnusable as unusable:
        talk.say(str(unusable))
        return UNUSABLE
    return codes[0]


@asynccontextmanager
async def _begun(begin: Callable[[], Any] | None, name: str, talk: Talk) -> AsyncIterator[Any]:
    """Have what the shop opens, while inside; wait until orders may be taken."""
    async with lifespan(begin, name) as resources:
        talk.say(READY)
        if not await asyncio.to_thread(talk.may_begin):
            raise HandlerUnusable("the server does not want this process any more")
        yield resources


async def _work(
    told: Instructions, handler: Callable[..., Any], begin: Callable[[], Any], codes: list[int]
) -> None:
    """Process orders; add the exit code to `codes`."""
    loop = asyncio.get_running_loop()
    worker = Worker(
        handler,
        server=f"unix:{told.socket}",
        slots=told.slots,
        lifespan=begin,
        drain_timeout=told.drain_timeout,
        worker_id=told.worker_id,
        tells_text=told.exception_text,
    )
    signals = StopSignals(lambda _: loop.call_soon_threadsafe(worker.hurry), lambda: None)
    stopping = loop.create_task(_stop(signals, worker), name="stop")
    with forks.belongs(None, ()):
        codes.append(await worker.run())
    stopping.cancel()


async def _stop(signals: StopSignals, worker: Worker) -> None:
    await signals.wait()
    worker.stop()


def _about(number: int) -> dict[str, object]:
    """Give the fields that each entry of this process has: its number, and its order."""
    order = CURRENT.get()
    if order is None:
        return {"worker": number}
    attempt = {"customer_id": order.customer_id, "attempt": order.attempt}
    return {"worker": number, "order_id": order.order_id, **attempt}
