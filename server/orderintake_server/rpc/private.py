"""Serves the worker processes of this server, at a socket that only they can reach."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orderintake_server.calls.gate import ShutdownGate
from orderintake_server.rpc import ahead
from orderintake_server.rpc.binder import Binder
from orderintake_server.rpc.port.sockets import PREFIX, bind_socket
from orderintake_server.rpc.server import OPTIONS, stream_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orderintake_server.calls.frame import Frame

MOST_CALLS = 128
"""Of one connection at once: more than a worker may have."""
WRITE_SECONDS = 60.0


@asynccontextmanager
async def private_server(frame: Frame, path: str) -> AsyncIterator[None]:
    """Serve the methods of `frame` at the Unix socket `path` while inside; and nothing else.

    Who calls is gone before the end. Raises StartupFailed when it cannot be bound.
    """
    gate = ShutdownGate()
    binder = Binder(
        frame.refusals, gate, frame.door, write_seconds=WRITE_SECONDS, recorder=frame.recorder
    )
    server = ahead.server(OPTIONS + stream_options(MOST_CALLS))
    server.add_generic_rpc_handlers((binder.handlers(frame.methods, {}, {}),))
    await bind_socket(server.add_insecure_port, f"{PREFIX}{path}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)
