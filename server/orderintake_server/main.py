"""The command orderintake-server: it reads the settings and runs the service until a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog

from orderintake_server import config
from orderintake_server.commands import COMMANDS
from orderintake_server.errors import StartupFailed, StoreBroken
from orderintake_server.service import running
from orderintake_server.telemetry import configure_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.config import Settings

STUCK_SECONDS = 10.0
"""After the drain timeout a stop takes a second or two; this much later, a handler does not end."""
SWITCH_SECONDS = 0.0005
"""How soon Python's lock passes from one thread to another: from the event loop to the store's
threads, which need it only briefly. The default of 5 ms is as long as ten commits. Measured with
place_order and stream in bench/."""
THREAD_SECONDS = 0.5
"""An idle thread ends at once; a thread that still runs after this time is in a handler."""

log = structlog.get_logger()


def main() -> None:
    """Run orderintake-server until SIGTERM or SIGINT stops it.

    Exits with 0 after an orderly stop, 1 when it could not start or continue, 2 for bad settings.
    """
    arguments = sys.argv[1:]
    if "--version" in arguments:
        print(f"orderintake-server {version('orderintake-server')}")  # noqa: T201 - for people
        raise SystemExit(0)
    if command := COMMANDS.get("".join(arguments[:1])):
        raise SystemExit(command(arguments[1:]))
    try:
        settings = config.read(arguments)
    except StartupFailed as failed:
        _exit(f"orderintake-server: {failed}", 2)
    configure_log(form=settings.log_format, level=settings.log_level)
    sys.setswitchinterval(SWITCH_SECONDS)
    sys.path.append(str(Path.cwd()))  # the handler may be in the working directory
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings))
    except StartupFailed as failed:
        _exit(f"orderintake-server: {failed}", 1)
    except StoreBroken as broken:
        log.critical("the store is broken; acknowledged orders are safe", error=str(broken))
        _exit(f"orderintake-server: the store is broken: {broken}", 1)
    _exit("", 0)


async def _serve(settings: Settings) -> None:
    """Run the service until a signal comes."""
    stop = _stop_signal()
    async with running(settings) as service:
        host = settings.listen.rpartition(":")[0]
        log.info("listening", address=f"{host}:{service.port}")
        await stop.wait()
        log.info("stopping", drain_timeout=settings.drain_timeout)
        _exit_when_stuck(settings.drain_timeout + STUCK_SECONDS)
    log.info("stopped")


def _stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)  # nothing is lost: everything acknowledged is on disk
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    return stop


def _exit_when_stuck(seconds: float) -> None:
    """End the process after `seconds` if it still runs, as when a handler ignores cancellation."""

    def give_up() -> None:
        log.error("a handler or the store did not stop in time; exiting without it")
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Use uvloop if it is installed: it allows 15 to 80 % more unary calls."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return uvloop.new_event_loop


def _exit(message: str, code: int) -> NoReturn:
    """End the process, even if a sync handler still runs in a thread: a thread cannot be ended."""
    if message:
        print(message, file=sys.stderr)  # noqa: T201 - for the one that started the process
    for thread in _threads_to_join():
        thread.join(timeout=THREAD_SECONDS)
        if thread.is_alive():
            log.warning("handler thread still running at exit; left running", thread=thread.name)
            sys.stderr.flush()
            os._exit(code)
    raise SystemExit(code)


def _threads_to_join() -> list[threading.Thread]:
    """Return the threads that Python would wait for when it ends."""
    main_thread = threading.main_thread()
    threads = threading.enumerate()
    return [thread for thread in threads if thread is not main_thread and not thread.daemon]


if __name__ == "__main__":
    main()
