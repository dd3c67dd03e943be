"""How the process ends: with the exit code that it means, whatever handlers left behind."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

from orderintake.work import forks
from orderintake.work.contained import Contained
from orderintake_server.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orderintake_server.telemetry import LogOutput

EXIT_SECONDS = 5.0
"""How long what others registered to run at exit may take, all together."""
THREAD_SECONDS = 0.5
"""An idle thread ends at once; a thread that still runs after this time is in a handler."""

log = get_logger()


def end_process(output: LogOutput, code: int) -> NoReturn:
    """End the process, even if a sync handler still runs in a thread: a thread cannot be ended.

    What others registered to run at exit is run before. Python's own way to end is not taken: it
    waits for every thread, and replaces the exit code when standard output cannot be flushed.
    """
    forks.let_children_end()
    _run_exit_functions()
    for thread in _threads_to_join():
        thread.join(timeout=THREAD_SECONDS)
        if thread.is_alive():
            log.warning("handler thread still running at exit; left running", thread=thread.name)
            break
    output.close()
    os._exit(code)


def _run_exit_functions() -> None:
    thread = threading.Thread(target=_exit_functions, name="exit-functions", daemon=True)
    with Contained() as starting:  # there may be no thread left
        thread.start()
    if starting.error is None:
        thread.join(EXIT_SECONDS)
    if thread.is_alive():
        log.warning("what was registered to run at exit does not end; left running")


def _exit_functions() -> None:
    with Contained():
        atexit._run_exitfuncs()  # noqa: SLF001 - Python runs them nowhere else
    for name in ("stdout", "stderr"):
        with Contained():  # a handler may have put anything in its place
            getattr(sys, name).flush()


def _threads_to_join() -> list[threading.Thread]:
    """Return the threads that Python would wait for when it ends."""
    main_thread = threading.main_thread()
    threads = threading.enumerate()
    return [thread for thread in threads if thread is not main_thread and not thread.daemon]


@asynccontextmanager
async def plain_errors() -> AsyncIterator[None]:
    """Raise the error of a TaskGroup as itself, not in a group, if it is the only one."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
