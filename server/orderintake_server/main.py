"""The command orderintake-server: it reads the settings and runs the service until a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

# In a child that a handler forks gRPC would poll on, on descriptors that are not the child's. It
# looks at this when it is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

from orderintake.work import forks
from orderintake_server import config, handlers
from orderintake_server.commands import COMMANDS
from orderintake_server.errors import StartupFailed, StoreBroken
from orderintake_server.rpc.limits import raise_file_limit
from orderintake_server.service import running
from orderintake_server.telemetry import configure_log

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop as Loop
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from orderintake_server.config import Settings
    from orderintake_server.handlers import Shop

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
    raise_file_limit()
    sys.path.append(str(Path.cwd()))  # the handler may be in the working directory
    try:
        forks.contain()
        shop = handlers.shop(settings.handler, settings.lifespan)
        run_to_end(_serve(settings, shop), _loop_factory())
    except StartupFailed as failed:
        _exit(f"orderintake-server: {failed}", 1)
    except StoreBroken as broken:
        log.critical("the store is broken; acknowledged orders are safe", error=str(broken))
        _exit(f"orderintake-server: the store is broken: {broken}", 1)
    _exit("", 0)


def run_to_end(main: Coroutine[Any, Any, None], make_loop: Callable[[], Loop]) -> None:
    """Run `main` to its end, whatever tasks and callbacks do that a handler leaves behind.

    KeyboardInterrupt and SystemExit leave an event loop at once, wherever in it they are raised,
    and anybody can stop one; then it goes on. Tasks that are left at the end get a moment to end.
    """
    loop = make_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop.set_default_executor(executor)
    task = loop.create_task(main, name="main")
    _run_until_done(loop, task)
    left = asyncio.all_tasks(loop)
    for one in left:
        one.cancel()
    if left:
        _run_until_done(loop, loop.create_task(_wait_for(left)))
    executor.shutdown(wait=False, cancel_futures=True)
    task.result()


def _run_until_done(loop: Loop, task: asyncio.Task[None]) -> None:
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit) as error:
            log.exception("what a handler left behind cannot end the process", exc_info=error)


async def _wait_for(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks, timeout=THREAD_SECONDS)


async def _serve(settings: Settings, shop: Shop) -> None:
    """Run the service until a signal comes."""
    stop = _stop_signal()
    async with running(settings, shop=shop) as service:
        host = settings.listen.rpartition(":")[0]
        log.info("listening", address=f"{host}:{service.port}")
        await stop.wait()
        log.info("stopping", drain_timeout=settings.drain_timeout)
        _exit_when_stuck(settings.drain_timeout + STUCK_SECONDS)
    log.info("stopped")


def _stop_signal() -> asyncio.Event:
    """Give an event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    heard: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        heard.append(number)
        if len(heard) > 1:
            os._exit(128 + number)  # nothing is lost: whatever was acknowledged is on disk
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: None)  # it wakes the loop
        signal.signal(number, on_signal)  # a loop's own handler is deaf while the loop is left
    return stop


def _exit_when_stuck(seconds: float) -> None:
    """End the process after `seconds` if it still runs, as when a handler ignores cancellation."""

    def give_up() -> None:
        log.error("a handler or the store did not stop in time; exiting without it")
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()


def _loop_factory() -> Callable[[], Loop]:
    """Choose uvloop where it is installed: 15 to 80 % more unary calls."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _exit(message: str, code: int) -> NoReturn:
    """End the process, even if a sync handler still runs in a thread: a thread cannot be ended."""
    if message:
        print(message, file=sys.stderr)  # noqa: T201 - for whoever started us
    forks.let_children_end()
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
