"""The command orderintake-server: reads the settings, runs the service until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog

from orderintake_server import config
from orderintake_server.commands import COMMANDS
from orderintake_server.errors import StartupFailed, StoreBroken
from orderintake_server.rpc.limits import raise_file_limit
from orderintake_server.service import running
from orderintake_server.telemetry import configure_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.config import Settings

STUCK_SECONDS = 10.0
"""After the drain timeout, a stop takes a second or two; much later, a handler refuses to end."""
SWITCH_SECONDS = 0.0005
"""Python's lock changes hands so soon between the event loop and the store's threads, which are
done with it at once: its default of 5 ms is as long as ten commits. Measured: place_order and
stream in bench/."""
THREAD_SECONDS = 0.5
"""An idle thread ends at once; one that does not runs a handler."""

log = structlog.get_logger()


def main() -> None:
    """Run orderintake-server until it is told to stop by SIGTERM or SIGINT.

    Exits with 0 after a stop in order, 1 when it could not start or go on, 2 for bad settings.
    """
    arguments = sys.argv[1:]
    if command := COMMANDS.get("".join(arguments[:1])):
        raise SystemExit(command(arguments[1:]))
    try:
        settings = config.read(arguments)
    except StartupFailed as failed:
        _exit(f"orderintake-server: {failed}", 2)
    configure_log(form=settings.log_format, level=settings.log_level)
    sys.setswitchinterval(SWITCH_SECONDS)
    raise_file_limit()
    sys.path.append(str(Path.cwd()))  # the handler may stand in the working directory
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings))
    except StartupFailed as failed:
        _exit(f"orderintake-server: {failed}", 1)
    except StoreBroken as broken:
        log.critical("the store is broken; what was acknowledged is safe", error=str(broken))
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
    """Give an event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)  # nothing is lost: whatever was acknowledged is on disk
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    return stop


def _exit_when_stuck(seconds: float) -> None:
    """End the process when it has not ended by itself: a handler swallows its cancellation."""

    def give_up() -> None:
        log.error("a handler, or the store, does not end; exiting without it")
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Choose uvloop where it is installed: 15 to 80 % more unary calls."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return uvloop.new_event_loop


def _exit(message: str, code: int) -> NoReturn:
    """End the process, also when a sync handler's thread still runs: it cannot be ended."""
    if message:
        print(message, file=sys.stderr)  # noqa: T201 - for whoever started us
    for thread in _threads_to_join():
        thread.join(timeout=THREAD_SECONDS)
        if thread.is_alive():
            log.warning("a handler's thread still runs; it is left behind", thread=thread.name)
            sys.stderr.flush()
            os._exit(code)
    raise SystemExit(code)


def _threads_to_join() -> list[threading.Thread]:
    """Give the threads for which Python would wait at its end."""
    main_thread = threading.main_thread()
    return [one for one in threading.enumerate() if one is not main_thread and not one.daemon]


if __name__ == "__main__":
    main()
