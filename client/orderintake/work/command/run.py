"""Runs `orderintake worker`: reads what it is told, loads the handler, and works until a signal."""

from __future__ import annotations

import asyncio
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from grpc import StatusCode

from orderintake.errors import NotAllowed, OrderIntakeError, Unauthenticated
from orderintake.work import forks
from orderintake.work.command import logs, signals
from orderintake.work.command.options import read
from orderintake.work.command.processes import Processes
from orderintake.work.finding import HandlerUnusable, find
from orderintake.work.process.ending import end_process
from orderintake.work.remote.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from orderintake.work.command.options import Options

REFUSED, USAGE, DENIED = 1, 2, 77
"""Exit codes of a worker that cannot begin; see the ends of Worker for the others."""
OLD = "; what answers there knows no workers: an older server, or something else"

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> NoReturn:
    """Run the command with what stands behind `orderintake worker`, and end the process."""
    options = read(arguments)
    logs.configure(form=options.log_format, level=options.log_level)
    if options.processes > 1:
        name = options.worker["name"]
        sys.exit(asyncio.run(Processes(arguments, options.processes, name).run()))
    end_process(_run(options))


def _run(options: Options) -> int:
    """Work until a signal comes; give the exit code."""
    with suppress(OSError):  # the working directory was removed
        sys.path.append(str(Path.cwd()))  # the handler may be in it
    try:
        forks.contain()
        handler = find(options.handler)
        lifespan = find(options.lifespan, "lifespan") if options.lifespan else None
        worker = Worker(handler, lifespan=lifespan, **options.worker)
        logs.configure(form=options.log_format, level=options.log_level)  # whatever a module set
        return _to_end(_work(worker, options))
    except HandlerUnusable as unusable:
        return _failed(str(unusable), USAGE)
    except (ValueError, OSError) as error:  # a certificate's file
        return _failed(str(error), USAGE)
    except OrderIntakeError as error:
        is_denied = isinstance(error, Unauthenticated | NotAllowed)
        why = f"{error}{OLD}" if error.code is StatusCode.UNIMPLEMENTED else str(error)
        return _failed(why, DENIED if is_denied else REFUSED)


async def _work(worker: Worker, options: Options) -> int:
    signals.StopSignals(worker, options.worker["drain_timeout"]).listen()
    if options.lifeline is not None:
        signals.follow(options.lifeline)
    with forks.belongs(None, ()):
        return await worker.run()


def _to_end(work: Coroutine[Any, Any, int]) -> int:
    """Run to the end of `work`, whatever tasks and callbacks do that a handler leaves behind.

    Python's own way waits for the threads that they left, too.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop.set_default_executor(executor)
    task = loop.create_task(work, name="main")
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit) as error:
            _log.exception("what a handler left behind cannot end the process", exc_info=error)
    executor.shutdown(wait=False, cancel_futures=True)
    if task.cancelled():
        return _failed("what a handler left behind has cancelled the worker", REFUSED)
    return task.result()


def _failed(why: str, code: int) -> int:
    _log.critical("%s", why)
    return code
