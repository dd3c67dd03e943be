"""From the settings to worker processes, and the socket at which they call."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from orderintake_server import handlers
from orderintake_server.access.callers import OwnProcesses
from orderintake_server.calls.door import Door
from orderintake_server.domain import State
from orderintake_server.errors import StorageUnavailable
from orderintake_server.handlers import Shop
from orderintake_server.rpc.private import private_server
from orderintake_server.supervisor.deaths import Charged
from orderintake_server.supervisor.home import private_socket
from orderintake_server.supervisor.instructions import Instructions
from orderintake_server.supervisor.supervisor import supervised

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from orderintake_server.calls.frame import Frame
    from orderintake_server.clock import Clock
    from orderintake_server.config import Settings
    from orderintake_server.holders import TakenBack
    from orderintake_server.supervisor.supervisor import Supervisor

_T = TypeVar("_T")

SERVICE = "/orderintake.v1.OrderWorkService/"
"""How the paths begin of all that worker processes may call."""
AGAIN_SECONDS = 0.5
"""So soon a death is told again to a store that is away."""


class Room(Protocol):
    """Where workers are known. Raises StorageUnavailable."""

    ends_process: Callable[[str], bool]
    """Ends the process of a worker that is silent, and tells whether there is one."""

    def expect(self, worker_id: str) -> None:
        """Know that a worker is supervised by this server."""

    async def bury(self, worker_id: str) -> Sequence[TakenBack]:
        """Take back what one had that died; count a crash for each."""

    async def end(self, worker_id: str) -> int:
        """Take back what one had that ends in order; return how many orders wait again."""


class _Deaths:
    """Tells the store of worker processes that ended, until it has taken that in."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.expect = room.expect

    async def died(self, worker_id: str) -> Sequence[Charged]:
        """Take back what it had, unless it was ended in order; return what that is charged to."""
        return [
            Charged(
                accept_sequence=taken.key.accept_sequence,
                crash_count=taken.key.crash_count + 1,
                is_quarantined=taken.state is State.FAILED,
            )
            for taken in await _done(lambda: self._room.bury(worker_id))
        ]

    async def ended(self, worker_id: str) -> int:
        """Take back what it had, charged to nobody; return how many orders wait again."""
        return await _done(lambda: self._room.end(worker_id))


async def _done(ask: Callable[[], Awaitable[_T]]) -> _T:
    """Ask again and again while the store is away."""
    while True:
        try:
            return await ask()
        except StorageUnavailable:
            await asyncio.sleep(AGAIN_SECONDS)


def shop(settings: Settings) -> Shop:
    """Import the handler that this process calls: none, where others do.

    Raises StartupFailed for what is not there, and for a handler that could process no order.
    """
    if settings.worker_processes:
        return Shop()
    return handlers.shop(settings.handler, settings.lifespan)


@asynccontextmanager
async def worker_processes(
    settings: Settings, frame: Frame, clock: Clock, room: Room
) -> AsyncIterator[Supervisor]:
    """Have the worker processes of the settings ready, while inside: perhaps none.

    Raises StartupFailed when one cannot work.
    """
    count, slots = settings.worker_processes, settings.workers
    async with AsyncExitStack() as stack:
        path = ""
        if count:
            path = await stack.enter_async_context(private_socket())
            await stack.enter_async_context(private_server(_own(frame, clock), path))
        told = _instructions(settings, path)
        own = supervised(told, _Deaths(room), processes=count, slots=slots)
        supervisor = await stack.enter_async_context(own)
        room.ends_process = supervisor.kill
        yield supervisor


def _own(frame: Frame, clock: Clock) -> Frame:
    """Give what worker processes may call, and nobody else."""
    methods = [each for each in frame.methods if each.path.startswith(SERVICE)]
    return replace(frame, methods=methods, door=Door(OwnProcesses(), clock))


def _instructions(settings: Settings, path: str) -> Instructions:
    return Instructions(
        handler=settings.handler,
        lifespan=settings.lifespan,
        socket=path,
        drain_timeout=settings.drain_timeout,
        exception_text=settings.exception_text,
        scheduling=settings.worker_scheduling,
        log_format=settings.log_format,
        log_level=settings.log_level,
    )
