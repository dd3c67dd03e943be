"""Runs the service: makes its parts, starts them, and stops them in order."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orderintake.work import forks
from orderintake_server import handlers, parts, telemetry
from orderintake_server.api import methods
from orderintake_server.api.endpoints import Endpoints
from orderintake_server.api.refusals import OrderRefusals, Refusals
from orderintake_server.api.responses import Responses
from orderintake_server.calls.door import Door
from orderintake_server.calls.frame import Frame
from orderintake_server.clock import Clock
from orderintake_server.http.monitoring.readiness import Readiness
from orderintake_server.ids import Ids
from orderintake_server.process.ending import plain_errors
from orderintake_server.rpc.server import rpc_server
from orderintake_server.service.assembly import Running, Service
from orderintake_server.telemetry.spans import spans_of_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from orderintake_server.config import Settings
    from orderintake_server.handlers import Shop
    from orderintake_server.rpc.server import RpcServer
    from orderintake_server.supervisor.supervisor import Supervisor
    from orderintake_server.telemetry.spans import Spans

__all__ = ["Running", "Service", "running"]


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    shop: Shop | None = None,
    clock: Clock | None = None,
    spans: Callable[[], Spans] = spans_of_process,
) -> AsyncIterator[Running]:
    """Run the service while inside; on leaving, drain and stop it.

    Before the port opens, every order that was in process when the last server ended waits again
    or has ended. `shop` replaces what the settings name; `clock` the real time; `spans` is asked
    what begins spans.

    Raises StartupFailed when the service cannot start. Raises StoreBroken when the store breaks
    while it runs; the block is then cancelled.
    """
    shop = shop or parts.shop(settings)
    async with parts.store(settings, clock) as store:
        parts.log_recovery(settings, store)
        ids = Ids(store.recovery.log_id)
        telemetry.ORDER_ID.set(ids.order_id)
        policy = parts.call_policy(settings, shop)
        async with handlers.handler_calls(shop, policy, ids, spans) as calls:
            judge = clock or Clock()
            service = Service(store, settings, calls, Responses(ids, judge), judge)
            async with (
                _serving(service, settings, ids, judge) as (server, http_port, processes),
                plain_errors(),
                asyncio.TaskGroup() as tasks,
            ):
                service.start(tasks)
                processes.watch(tasks)
                service.committer.on_reach = _health_reporter(server, tasks)
                try:
                    with forks.belongs(None if settings.store else settings.data, server.listens):
                        yield service.at(server, http_port, processes)
                finally:
                    service.refuse()
                    await server.announce_stop()
                    await processes.drain()
                    await service.drain(settings.drain_timeout)


@asynccontextmanager
async def _serving(
    service: Service, settings: Settings, ids: Ids, clock: Clock
) -> AsyncIterator[tuple[RpcServer, int | None, Supervisor]]:
    """Serve the methods of the table while inside; by HTTP metrics and health too.

    The latter are there before the first call is answered, and after the last; worker processes are
    ready before.
    """
    refusals, responses = Refusals(ids), Responses(ids, clock)
    for_orders = OrderRefusals(refusals, service.meters.calls, method="PlaceOrders")
    endpoints = Endpoints(
        service.intake, service.overview, responses=responses, ids=ids, refusals=for_orders
    )
    callers = await parts.callers(settings, clock, service.files)
    certificates = await parts.certificates(settings, service.files)
    readiness = Readiness(service.meters.commits, lambda: service.intake.is_draining)
    frame = Frame(
        methods=methods.bound(endpoints, service.work_endpoints(clock)),
        refusals=refusals,
        door=Door(callers, clock),
        recorder=parts.recorder(settings, service.meters.calls, service.spans),
    )
    rpc = rpc_server(frame, parts.rpc_settings(settings, certificates))
    http = parts.http_server(settings, callers, frame, service.observed(certificates), readiness)
    own = parts.worker_processes(settings, frame, clock, service.room)
    async with service.files.looking(), own as processes, http as http_port, rpc as server:
        readiness.has_started = True
        yield server, http_port, processes


def _health_reporter(server: RpcServer, tasks: asyncio.TaskGroup) -> Callable[[bool], object]:
    """Return a callback that sets health, in a task, for it may have to wait for a watcher."""
    return lambda is_there: tasks.create_task(server.report_reach(is_there=is_there), name="health")
