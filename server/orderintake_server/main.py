"""The command orderintake-server: it reads the settings and runs the service until a signal."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
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
from orderintake_server.errors import StartupFailed, StoreBroken, StoreGone
from orderintake_server.rpc.limits import raise_file_limit
from orderintake_server.service import running
from orderintake_server.signals import StopSignals
from orderintake_server.telemetry import LogOutput, open_closed_descriptors

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop as Loop
    from collections.abc import Callable, Coroutine

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
    open_closed_descriptors()
    arguments = sys.argv[1:]
    if "--version" in arguments:
        print(f"orderintake-server {version('orderintake-server')}")  # noqa: T201 - for people
        raise SystemExit(0)
    if command := COMMANDS.get("".join(arguments[:1])):
        raise SystemExit(command(arguments[1:]))
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    output = LogOutput(form=config.log_form(arguments))
    try:
        settings = config.read(arguments)
    except StartupFailed as failed:
        _exit(output, f"orderintake-server: {failed}", 2)
    output.configure(form=settings.log_format, level=settings.log_level)
    _warn_of_variables()
    sys.setswitchinterval(SWITCH_SECONDS)
    raise_file_limit()
    sys.path.append(str(Path.cwd()))  # the handler may be in the working directory
    _exit(output, *_run(settings, output))


def _run(settings: Settings, output: LogOutput) -> tuple[str, int]:
    """Run the service; return what to say at its end, and the exit code."""
    try:
        forks.contain()
        shop = handlers.shop(settings.handler, settings.lifespan)
        run_to_end(_serve(settings, shop, output), _loop_factory())
    except StartupFailed as failed:
        return f"orderintake-server: {failed}", 1
    except StoreGone as gone:
        log.critical("the store's files were removed or replaced", error=str(gone))
        return f"orderintake-server: {gone}; put the store's files back and start again", 1
    except StoreBroken as broken:
        log.critical("the store is broken; acknowledged orders are safe", error=str(broken))
        return f"orderintake-server: the store is broken: {broken}", 1
    return "", 0


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


def _warn_of_variables() -> None:
    for name, nearest in config.unknown_variables().items():
        log.warning("unknown variable; it sets nothing", name=name, nearest=nearest)


async def _serve(settings: Settings, shop: Shop, output: LogOutput) -> None:
    """Run the service until a signal comes."""

    def end(code: int) -> None:
        output.close()
        os._exit(code)  # nothing is lost: everything acknowledged is on disk

    signals = StopSignals(end)
    stop_begins = _stop_watch(settings.drain_timeout + STUCK_SECONDS, end)
    async with running(settings, shop=shop) as service:
        output.configure(form=settings.log_format, level=settings.log_level)  # whatever a handler's
        # module has set when it was loaded
        signals.look_at_files = service.look_at_files
        host = settings.listen.rpartition(":")[0]
        callers = "known" if settings.knows_callers else "anybody may do everything"
        log.info("listening", address=f"{host}:{service.port}", callers=callers)
        await signals.wait()
        stop_begins()
        await service.note_stop()
        log.info("stopping", drain_timeout=settings.drain_timeout)
    log.info("stopped")


def _stop_watch(seconds: float, end: Callable[[int], None]) -> Callable[[], None]:
    """Return what to call when the stop begins: `seconds` later, a process that still runs ends.

    It does when a handler ignores cancellation. The thread is started now: there may be none then.
    """
    begun = threading.Event()

    def watch() -> None:
        begun.wait()
        time.sleep(seconds)
        log.error("a handler or the store did not stop in time; exiting without it")
        end(1)

    threading.Thread(target=watch, name="stop-watch", daemon=True).start()
    return begun.set


def _loop_factory() -> Callable[[], Loop]:
    """Choose uvloop where it is installed: 15 to 80 % more unary calls."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _exit(output: LogOutput, message: str, code: int) -> NoReturn:
    """End the process, even if a sync handler still runs in a thread: a thread cannot be ended."""
    if message:
        output.line(message, "critical")
    forks.let_children_end()
    for thread in _threads_to_join():
        thread.join(timeout=THREAD_SECONDS)
        if thread.is_alive():
            log.warning("handler thread still running at exit; left running", thread=thread.name)
            output.close()
            os._exit(code)
    output.close()
    raise SystemExit(code)


def _threads_to_join() -> list[threading.Thread]:
    """Return the threads that Python would wait for when it ends."""
    main_thread = threading.main_thread()
    threads = threading.enumerate()
    return [thread for thread in threads if thread is not main_thread and not thread.daemon]


if __name__ == "__main__":
    main()
