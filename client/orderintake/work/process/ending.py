"""How a process ends in which handlers run: with the code that it means, whatever they left."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from orderintake.work import forks
from orderintake.work.contained import Contained

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_SECONDS = 5.0
"""How long what others registered to run at exit may take, all together."""
THREAD_SECONDS = 0.5
"""An idle thread ends at once; a thread that still runs after this time is in a handler."""

_log = logging.getLogger(__name__)


def end_process(code: int, last: Callable[[], object] = lambda: None) -> NoReturn:
    """End the process, even if a sync handler still runs in a thread: a thread cannot be ended.

    What others registered to run at exit is run before, then `last`. Python's own way to end is not
    taken: it waits for every thread, and replaces the exit code when standard output cannot be
    flushed.
    """
    forks.let_children_end()
    _run_exit_functions()
    for thread in _threads_to_join():
        thread.join(timeout=THREAD_SECONDS)
        if thread.is_alive():
            about = {"handler_thread": thread.name}
            _log.warning("handler thread still running at exit; left running", extra=about)
            break
    last()
    os._exit(code)


def _run_exit_functions() -> None:
    thread = threading.Thread(target=_exit_functions, name="exit-functions", daemon=True)
    with Contained() as starting:  # there may be no thread left
        thread.start()
    if starting.error is None:
        thread.join(EXIT_SECONDS)
    if thread.is_alive():
        _log.warning("what was registered to run at exit does not end; left running")


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
