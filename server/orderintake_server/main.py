"""The command orderintake-server: it reads the settings and runs the service until a signal."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

# Any stranger can cause lines of gRPC's own, which pass our log by. It looks at this when imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from orderintake.work import forks
from orderintake.work.process.ending import end_process
from orderintake_server import config, parts
from orderintake_server.commands import COMMANDS, SUMMARIES
from orderintake_server.errors import StartupFailed, StoreBroken, StoreGone
from orderintake_server.logger import get_logger
from orderintake_server.process.garbage import spare_what_stays
from orderintake_server.process.loop import run_to_end
from orderintake_server.process.signals import StopSignals, ignore_meaningless
from orderintake_server.rpc.port.limits import raise_file_limit
from orderintake_server.service import running
from orderintake_server.telemetry import LogOutput, open_closed_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from orderintake_server.config import Settings
    from orderintake_server.handlers import Shop

STUCK_SECONDS = 10.0
"""After the drain timeout a stop takes a second or two; this much later, a handler does not end."""

log = get_logger()


def main() -> None:
    """Run orderintake-server until SIGTERM or SIGINT stops it.

    Exits with 0 after an orderly stop, 1 when it could not start or continue, 2 for bad settings.
    """
    open_closed_descriptors()
    arguments = sys.argv[1:]
    if "--version" in arguments:
        config.tell(f"orderintake-server {version('orderintake-server')}")
        raise SystemExit(0)
    if command := COMMANDS.get("".join(arguments[:1])):
        raise SystemExit(command(arguments[1:]))
    if {"-h", "--help"} & {*arguments}:
        config.read(arguments, SUMMARIES)  # ends here, while standard output is not yet the log's
    output = LogOutput(form=config.log_form(arguments))
    try:
        settings = config.read(arguments, SUMMARIES)
    except StartupFailed as failed:
        _exit(output, f"orderintake-server: {failed}", 2)
    output.configure(form=settings.log_format, level=settings.log_level)
    _warn_of_variables()
    with suppress(OSError):  # the working directory was removed
        sys.path.append(str(Path.cwd()))  # the handler may be in it
    _exit(output, *_run(settings, output))


def _run(settings: Settings, output: LogOutput) -> tuple[str, int]:
    """Run the service; return what to say at its end, and the exit code."""
    try:
        raise_file_limit()
        forks.contain()
        ignore_meaningless()
        shop = parts.shop(settings)
        spare_what_stays()  # all modules; later, while the event loop is watched, little is left
        run_to_end(_serve(settings, shop, output))
    except StartupFailed as failed:
        return f"orderintake-server: {failed}", 1
    except StoreGone as gone:
        log.critical("the store's files were removed or replaced", error=str(gone))
        return f"orderintake-server: {gone}; put the store's files back and start again", 1
    except StoreBroken as broken:
        log.critical("the store is broken; acknowledged orders are safe", error=str(broken))
        return f"orderintake-server: the store is broken: {broken}", 1
    return "", 0


def _warn_of_variables() -> None:
    for name, nearest in config.unknown_variables().items():
        log.warning("unknown variable; it sets nothing", name=name, nearest=nearest)


async def _serve(settings: Settings, shop: Shop, output: LogOutput) -> None:
    """Run the service until a signal comes."""

    def end(code: int) -> None:
        output.close()
        os._exit(code)  # nothing is lost: everything acknowledged is on disk

    signals = StopSignals(end, _stop_watch(settings.drain_timeout + STUCK_SECONDS, end))
    async with running(settings, shop=shop) as service:
        output.configure(form=settings.log_format, level=settings.log_level)  # whatever a handler's
        # module has set when it was loaded
        signals.look_at_files = service.look_at_files
        spare_what_stays()
        if settings.worker_processes:
            signals.on_renewal(service.renew)
        callers = "known" if settings.knows_callers else "anybody may do everything"
        for address in service.addresses:
            log.info("listening", address=address, callers=callers)
        await signals.wait()
        await service.note_stop()
        log.info("stopping", drain_timeout=settings.drain_timeout)
    log.info("stopped")


def _stop_watch(seconds: float, end: Callable[[int], None]) -> Callable[[], None]:
    """Return what to call when the stop begins: `seconds` later, a process that still runs ends.

    It does when a handler blocks the event loop. The thread is started now: there may be none then.
    """
    begun = threading.Event()

    def watch() -> None:
        begun.wait()
        time.sleep(seconds)
        log.error("a handler or the store did not stop in time; exiting without it")
        end(1)

    threading.Thread(target=watch, name="stop-watch", daemon=True).start()
    return begun.set


def _exit(output: LogOutput, message: str, code: int) -> NoReturn:
    """Say why the process ends, and end it."""
    if message:
        output.line(message, "critical")
    end_process(code, output.close)


if __name__ == "__main__":
    main()
