"""Keeps a number of worker processes at work: restarts, renews and stops them."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from orderintake.work.process.backoff import Backoff
from orderintake_server.errors import StartupFailed
from orderintake_server.logger import get_logger
from orderintake_server.supervisor.deaths import account
from orderintake_server.supervisor.process import start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orderintake_server.supervisor.deaths import Deaths
    from orderintake_server.supervisor.instructions import Instructions
    from orderintake_server.supervisor.process import WorkerProcess

LATE_SECONDS = 4.0
"""So long after its time to drain a process may be at work on its end: handlers that are
interrupted have 2 s, and giving back takes a second."""
LOG_SECONDS = 0.5
"""How long a stop waits for the last lines of a process whose children hold its log open."""

log = get_logger()


class Place:
    """A place for a process: who has it, how many orders at once, and when the next may start."""

    def __init__(self, number: int, slots: int) -> None:
        """Begin without a process."""
        self.number, self.slots = number, slots
        self.process: WorkerProcess | None = None
        """None: none is ready yet, or the next one is on its way."""
        self.backoff = Backoff()


class Supervisor:
    """The worker processes of a server."""

    def __init__(
        self, instructions: Instructions, deaths: Deaths, *, processes: int, slots: int
    ) -> None:
        """Share `slots` out among so many processes; none of them is started yet."""
        self._instructions = instructions
        self._deaths = deaths
        self._places = [Place(*share) for share in enumerate(shares(slots, processes), 1)]
        self.living: set[WorkerProcess] = set()
        """Those that were started and have not ended."""
        self._lives: set[asyncio.Task[None]] = set()
        """What waits for the end of each, and takes back what it had."""
        self._tasks: asyncio.TaskGroup | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def begin(self) -> None:
        """Start all processes; return when they are ready.

        Raises StartupFailed with the reason when one of them will never be.
        """
        await asyncio.gather(*(self._begin_first(place) for place in self._places))

    def watch(self, tasks: asyncio.TaskGroup) -> None:
        """Let them take orders; take back what one had that ends, and start another, in `tasks`."""
        self._tasks = tasks
        for place in self._places:
            if place.process is not None:
                self._adopt(place, place.process)

    def renew(self) -> None:
        """Replace the processes one by one; each stops when its successor is ready.

        A successor that cannot work is given up, and the processes go on as they are.
        """
        if self._stopping.is_set() or self._tasks is None:
            return
        if self._renewal is None or self._renewal.done():
            self._renewal = self._tasks.create_task(self._renew(), name="renewal")

    def kill(self, worker_id: str) -> bool:
        """End the process of a worker that says nothing any more; tell whether there is one.

        Another takes its place.
        """
        found = [process for process in self.living if process.worker_id == worker_id]
        for process in found:
            log.error("a worker process is silent; killed", worker=process.number, pid=process.pid)
            process.kill()
        return bool(found)

    async def drain(self) -> None:
        """Stop all processes; each has its time to drain, and is killed some seconds later.

        Return when what they had is taken back.
        """
        self._stopping.set()
        await asyncio.gather(*map(self._stop, self.living))
        if self._lives:
            await asyncio.wait(self._lives)

    async def end(self) -> None:
        """Kill what still runs."""
        self._stopping.set()
        for process in self.living:
            process.kill()
        if self.living:
            await asyncio.wait({process.ended for process in self.living}, timeout=LATE_SECONDS)

    async def _begin_first(self, place: Place) -> None:
        try:
            process = await self._start(place)
        except OSError as error:
            raise StartupFailed(f"a worker process cannot be started: {error}") from error
        if reason := await process.becomes_ready():
            await process.log_is_read(LOG_SECONDS)
            raise StartupFailed(reason)
        place.process = process

    async def _start(self, place: Place) -> WorkerProcess:
        told = replace(
            self._instructions,
            number=place.number,
            slots=place.slots,
            worker_id=secrets.token_hex(16),
        )
        self._deaths.expect(told.worker_id)
        process = await start(told)
        self.living.add(process)
        process.ended.add_done_callback(lambda _: self.living.discard(process))
        if self._stopping.is_set():
            process.kill()
        return process

    def _adopt(self, place: Place, process: WorkerProcess) -> None:
        """Give the place to a process that is ready, and watch it."""
        assert self._tasks is not None  # noqa: S101 - `watch` was called
        place.process = process
        place.backoff.begin()
        process.begin()
        about = {"worker": place.number, "pid": process.pid, "slots": place.slots}
        log.info("a worker process is ready", **about)
        life = self._live(place, process)
        task = self._tasks.create_task(life, name=f"worker-process-{place.number}")
        self._lives.add(task)
        task.add_done_callback(self._lives.discard)

    async def _live(self, place: Place, process: WorkerProcess) -> None:
        """Wait for the end of a process; take back what it had, and meanwhile start the next."""
        code = await asyncio.shield(process.ended)
        next_one = None
        if place.process is process:
            place.process = None
            next_one = self._replace(place)
        await asyncio.gather(account(process, code, self._deaths), *filter(None, [next_one]))

    async def _replace(self, place: Place) -> None:
        """Start processes until one is ready, each later after the one before."""
        while place.process is None and not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), place.backoff.delay())
            process = await self._begin(place)
            if process is not None and place.process is not None:  # a renewal was faster
                await self._stop(process)
            elif process is not None:
                self._adopt(place, process)

    async def _begin(self, place: Place) -> WorkerProcess | None:
        """Start a process, and wait until it is ready; None, and a line in the log, if it fails."""
        if self._stopping.is_set():
            return None
        try:
            process = await self._start(place)
        except OSError as error:
            reason = str(error)
        else:
            reason = await process.becomes_ready()
            if not reason:
                return process
            process.kill()
        if not self._stopping.is_set():
            log.error("a worker process could not start", worker=place.number, reason=reason)
        return None

    async def _renew(self) -> None:
        log.info("worker processes are renewed")
        for place in self._places:  # one without a process gets the new code by itself
            if place.process is not None and not await self._renewed(place, place.process):
                log.error("worker processes are not renewed: they go on as they are")
                return
        log.info("worker processes have been renewed")

    async def _renewed(self, place: Place, old: WorkerProcess) -> bool:
        """Put another process in the place of an old one; tell whether there was one."""
        process = await self._begin(place)
        if process is None:
            return self._stopping.is_set()
        old.stop()
        self._adopt(place, process)
        await self._stop(old)
        return True

    async def _stop(self, process: WorkerProcess) -> None:
        process.stop()
        seconds = self._instructions.drain_timeout + LATE_SECONDS
        await asyncio.wait({process.ended}, timeout=seconds)
        if not process.ended.done():
            log.error("a worker process did not stop in time; killed", pid=process.pid)
            process.kill()
            await asyncio.shield(process.ended)
        await process.log_is_read(LOG_SECONDS)


def shares(slots: int, processes: int) -> list[int]:
    """Share slots out: to no process more than one more than to another, and to each at least one.

    There may be fewer processes for that.
    """
    count = min(slots, processes)
    return [slots // count + (number < slots % count) for number in range(count)]


@asynccontextmanager
async def supervised(
    instructions: Instructions, deaths: Deaths, *, processes: int, slots: int
) -> AsyncIterator[Supervisor]:
    """Have worker processes that are ready, while inside; none of them is left behind.

    They take orders once they are watched.

    Raises StartupFailed with the reason when one cannot work.
    """
    supervisor = Supervisor(instructions, deaths, processes=processes, slots=slots)
    try:
        await supervisor.begin()
        yield supervisor
    finally:
        await supervisor.end()
