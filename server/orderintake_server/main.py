"""Builds the service, runs it, and stops it in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog

from orderintake_server import config, handlers
from orderintake_server.dispatch.completions import Completions
from orderintake_server.dispatch.drain import DrainRate
from orderintake_server.dispatch.ledger import Ledger
from orderintake_server.dispatch.ready import ReadyQueue
from orderintake_server.dispatch.room import WaitingRoom
from orderintake_server.dispatch.workers import Workers
from orderintake_server.errors import StartupFailed, StoreBroken
from orderintake_server.intake import Intake
from orderintake_server.names import Names
from orderintake_server.rpc.server import rpc_server
from orderintake_server.store.sqlite import sqlite_store
from orderintake_server.telemetry import configure_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Any

    from orderintake_server.config import Settings
    from orderintake_server.dispatch.workers import Handler
    from orderintake_server.handlers import OrderAttempt
    from orderintake_server.store.sqlite import SqliteStore

STUCK_SECONDS = 10.0
"""After the drain timeout, a stop takes a second or two; much later, a handler refuses to end."""
THREAD_SECONDS = 0.5
"""An idle thread ends at once; one that does not runs a handler."""

log = structlog.get_logger()


class Service:
    """The parts between the store and the port, made, started and drained together."""

    def __init__(
        self, store: SqliteStore, *, workers: int, handler: Handler, queue_limit: int
    ) -> None:
        """Prepare to serve from an open store."""
        found = store.found
        ready = ReadyQueue()
        self.completions = Completions(store, head=found.head)
        self.ledger = Ledger(
            store=store,
            ready=ready,
            completions=self.completions,
            room=WaitingRoom(
                limit=queue_limit, waiting=found.waiting, drain=DrainRate(time.monotonic)
            ),
        )
        self.workers = Workers(count=workers, ready=ready, ledger=self.ledger, handler=handler)
        self.intake = Intake(store=store, ledger=self.ledger, completions=self.completions)
        self._committing: asyncio.Task[None] | None = None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start to commit and to process, as children of `tasks`."""
        self._committing = tasks.create_task(self.ledger.run(), name="ledger")
        self.workers.start(tasks)

    async def drain(self, seconds: float) -> None:
        """Finish what runs within `seconds`, make all durable, tell the subscribers, end."""
        await self.workers.drain(seconds)
        self.ledger.close()
        if self._committing is not None:
            await asyncio.wait({self._committing})
        self.completions.close()


@asynccontextmanager
async def running(
    settings: Settings, *, handler: Callable[[OrderAttempt], Any] | None = None
) -> AsyncIterator[int]:
    """Run the service while inside, on the port yielded; leaving drains and stops it.

    All that was in process when the last server ended waits again before the port opens.
    `handler` stands in for the one that the settings name.

    Raises StartupFailed when it cannot start. Raises StoreBroken when the store breaks meanwhile;
    what is inside is then cancelled.
    """
    handler = handler or handlers.load(settings.handler)
    async with sqlite_store(settings.data, clock=_now) as store:
        names = Names(store.found.log_id)
        log.info("store open", data=str(settings.data), **asdict(store.found))
        with handlers.HandlerCalls(handler, names=names, threads=settings.workers) as calls:
            service = Service(
                store, workers=settings.workers, handler=calls, queue_limit=settings.queue_limit
            )
            async with (
                rpc_server(service.intake, names=names, listen=settings.listen) as server,
                _plain_errors(),
                asyncio.TaskGroup() as tasks,
            ):
                service.start(tasks)
                try:
                    yield server.port
                finally:
                    service.intake.refuse_orders()
                    await server.announce_stop()
                    await service.drain(settings.drain_timeout)


@asynccontextmanager
async def _plain_errors() -> AsyncIterator[None]:
    """Let the one error that a TaskGroup met leave as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def _now() -> int:
    """Tell the time in microseconds since 1970."""
    return time.time_ns() // 1_000


def main() -> None:
    """Run orderintake-server until it is told to stop by SIGTERM or SIGINT.

    Exits with 0 after a stop in order, 1 when it could not start or go on, 2 for bad settings.
    """
    try:
        settings = config.read(sys.argv[1:])
    except StartupFailed as failed:
        _exit(f"orderintake-server: {failed}", 2)
    configure_log(form=settings.log_format, level=settings.log_level)
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
    async with running(settings) as port:
        host = settings.listen.rpartition(":")[0]
        log.info("listening", address=f"{host}:{port}")
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
        log.error("a handler does not end; exiting without it")
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
    main_thread = threading.main_thread()
    for thread in threading.enumerate():
        if thread is not main_thread and not thread.daemon:
            thread.join(timeout=THREAD_SECONDS)
            if thread.is_alive():
                log.warning("a handler's thread still runs; it is left behind", thread=thread.name)
                sys.stderr.flush()
                os._exit(code)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
