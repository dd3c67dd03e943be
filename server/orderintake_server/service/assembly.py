"""The parts between the store and the transports: made, started and drained together."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server import parts
from orderintake_server.config.watched import WatchedFiles
from orderintake_server.dispatch.attempts import Attempts
from orderintake_server.dispatch.committer import Committer
from orderintake_server.dispatch.estimate import ServiceTimes
from orderintake_server.dispatch.requests.overdue import Overruling
from orderintake_server.dispatch.stats import QueueStats
from orderintake_server.dispatch.workers import Workers
from orderintake_server.errors import StoreBroken, StoreError
from orderintake_server.http.monitoring.readings import Observed
from orderintake_server.ids import Ids
from orderintake_server.intake import Intake
from orderintake_server.logger import get_logger
from orderintake_server.metrics import Meters
from orderintake_server.metrics.stalls import watch_stalls
from orderintake_server.overview import Overview
from orderintake_server.store.measured import MeasuredCommits
from orderintake_server.work.seen import Workforce

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orderintake.work.figures import HandlerFigures
    from orderintake_server.api.responses import Responses
    from orderintake_server.api.work.endpoints import WorkEndpoints
    from orderintake_server.clock import Clock
    from orderintake_server.config import Settings
    from orderintake_server.handlers import HandlerCalls
    from orderintake_server.rpc.port.tls import Certificates
    from orderintake_server.rpc.server import RpcServer
    from orderintake_server.store.base import Store
    from orderintake_server.supervisor.supervisor import Supervisor
    from orderintake_server.work.room import WorkRoom

NOTE_SECONDS = 1.0
"""How long a stop waits for its note in the store: no longer than for a second signal."""

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running service: where it serves, and what to call after its clock was turned by hand."""

    addresses: tuple[str, ...]
    """HOST:PORT with the port that was bound, or unix:/PATH; in the order of the settings."""
    http_port: int | None
    """Of metrics and health; None: they are not served."""
    look_at_clock: Callable[[], None]
    note_stop: Callable[[], Awaitable[None]]
    """Notes in the store that an operator stops the service: its end is no order's crash."""
    look_at_files: Callable[[], bool]
    """Looks at once for files that changed. Returns whether there are any to look at."""
    renew: Callable[[], None]
    """Replaces the worker processes, one by one."""


class Service:
    """The parts between the store and the transports, made, started and drained together."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        handler: HandlerCalls,
        responses: Responses,
        clock: Clock,
    ) -> None:
        """Make the parts on top of an open store."""
        recovery = store.recovery
        self._store = store
        self._settings = settings
        self.spans = handler.spans
        self.meters = Meters(quarantined=recovery.quarantined)
        self._attempts = Attempts()
        self._stats = QueueStats(recovery, time.monotonic)
        self._times = ServiceTimes(workers=settings.own_workers, clock=time.monotonic)
        self.completions = parts.completion_log(settings, store, responses.delivered)
        self.committer = self._make_committer(clock)
        Overruling(self.committer.remote, parts.work_policy(settings).retries)
        self.workers = self._make_workers(handler)
        self.intake = self._make_intake(handler.figures)
        self.overview = self._make_overview(clock)
        self.room = self._make_room()
        self.files = WatchedFiles()
        self._committing: asyncio.Task[None] | None = None
        self._chores: list[asyncio.Task[None]] = []
        """What goes on until the end, and has nothing to finish."""

    def _make_workers(self, handler: HandlerCalls) -> Workers:
        workers = Workers(
            parts.work_policy(self._settings),
            committer=self.committer,
            attempts=self._attempts,
            handler=handler,
            times=self._times,
            meters=self.meters.attempts,
        )
        self.meters.promises.has_free_worker = workers.has_free
        return workers

    def _make_committer(self, clock: Clock) -> Committer:
        return Committer(
            store=MeasuredCommits(self._store, self.meters),
            queue=parts.queue(self._settings, self._store),
            completions=self.completions,
            admission=parts.admission(self._settings, self._store),
            attempts=self._attempts,
            stats=self._stats,
            retention=parts.retention(self._settings, clock),
            clock=clock,
            policy=parts.commit_policy(self._settings),
        )

    def _make_intake(self, figures: HandlerFigures) -> Intake:
        return Intake(
            store=self._store,
            committer=self.committer,
            completions=self.completions,
            stats=self._stats,
            times=self._times,
            rate=parts.customer_rate(self._settings),
            figures=figures,
            promises=self.meters.promises,
            most_placing=self._settings.subscriber_limit,
        )

    def _make_overview(self, clock: Clock) -> Overview:
        return Overview(
            parts.server_name(self._settings),
            self._settings.own_workers,
            self._store,
            self.completions,
            busy=lambda: self.workers.busy,
            meters=self.meters,
            clock=clock,
        )

    def _make_room(self) -> WorkRoom:
        room = parts.work_room(
            self._settings,
            store=self._store,
            committer=self.committer,
            times=self._times,
            meters=self.meters,
            spans=self.spans,
        )
        if not self._store.is_shared:  # or each server that shares it counts all of them
            room.life.on_capacity = self._share
            self._share(room.life.capacity)
        return room

    def _share(self, capacity: int) -> None:
        """Note how many orders workers in processes of their own process beside this one."""
        self._times.share(self._settings.own_workers + capacity)

    def work_endpoints(self, clock: Clock) -> WorkEndpoints:
        """Return the endpoints of the calls of workers."""
        workforce = Workforce(
            overview=self.overview,
            at_work=self._store.at_work,
            life=self.room.life,
            own=self._attempts.in_process,
            clock=clock,
        )
        ids = Ids(self._store.recovery.log_id)
        return parts.work_endpoints(self._settings, self.room, workforce, ids)

    def observed(self, certificates: Certificates | None) -> Observed:
        """Return the parts from which the metrics are read."""
        return Observed(
            meters=self.meters,
            stats=self._stats,
            store=self._store,
            completions=self.completions,
            workers=self.workers,
            room=self.room,
            stuck_threads=lambda: self.intake.figures.stuck_attempts,
            facts=parts.facts(self._settings),
            more=parts.file_readings(self._settings, self.files, certificates),
        )

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start to commit, read the log, watch the store and process, as children of `tasks`."""
        self._committing = tasks.create_task(self.committer.run(), name="committer")
        tasks.create_task(self.completions.run(), name="completions")
        self._chores.append(tasks.create_task(self._watch(), name="store-watch"))
        if self._settings.http:
            stalls = watch_stalls(self.meters.stalls)
            self._chores.append(tasks.create_task(stalls, name="loop-stalls"))
        silence = tasks.create_task(self.room.bury_silent(), name="silent-workers")
        self._chores.append(silence)
        self.workers.start(tasks)

    async def _watch(self) -> None:
        """Apply what other processes change in the store, until it is found broken."""
        try:
            await self._apply_changes()
        except StoreBroken:
            self.committer.probe()  # it refuses all that waits, and ends the service
            if self._committing is not None:
                await asyncio.wait({self._committing})
            raise

    async def _apply_changes(self) -> None:
        """Apply what other processes change in the store, without end."""
        async for state in self._store.watch():
            self.committer.apply(state)
            if state.workers is not None:
                self._times.share(state.workers + state.capacity)

    async def note_stop(self) -> None:
        """Note in the store that an operator stops it; give up after a second, or if it cannot."""
        try:
            async with asyncio.timeout(NOTE_SECONDS):
                await self._store.note_stop()
        except (TimeoutError, StoreError) as error:
            why = str(error) or f"no answer in {NOTE_SECONDS:g} s"
            log.warning("the stop could not be noted in the store", error=why)

    def at(self, server: RpcServer, http_port: int | None, processes: Supervisor) -> Running:
        """Return what is told of this service, which is served and has these processes."""
        return Running(
            addresses=server.addresses,
            http_port=http_port,
            look_at_clock=self.committer.look_at_clock,
            note_stop=self.note_stop,
            look_at_files=self.files.look_now,
            renew=processes.renew,
        )

    def refuse(self) -> None:
        """Accept no more orders, and lease none."""
        self.intake.refuse_orders()
        self.room.refuse_leases()

    async def drain(self, seconds: float) -> None:
        """Let attempts finish within `seconds`, commit everything, then end the streams."""
        await self.workers.drain(seconds)
        self.room.close()
        self.committer.close()
        if self._committing is not None:
            await asyncio.wait({self._committing})
        self.completions.close()
        for chore in self._chores:
            chore.cancel()
