"""The standard health service; its watches end when the server stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health, health_pb2

from orderintake_server.errors import Draining

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

SET_SECONDS = 1.0
"""A client that watches but does not read holds the stock servicer's lock; wait for it so long."""


class Health(health.aio.HealthServicer):
    """Reports whether new orders are accepted, for the whole server and for each service."""

    def __init__(self, *services: str) -> None:
        """Report on these services, and on the whole server under the name ""."""
        super().__init__()
        self._services = ("", *services)
        self._response = health_pb2.HealthCheckResponse()
        self._closing = asyncio.Event()

    async def report(self, *, is_serving: bool) -> None:
        """Set the status that every client gets from now on, by a check or a watch."""
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if is_serving else statuses.NOT_SERVING
        self._response = statuses(status=status)
        for service in self._services:
            try:
                async with asyncio.timeout(SET_SECONDS):
                    await self.set(service, status)
            except TimeoutError:
                pass  # the stalled watcher does not see it; every client that checks does

    def close(self) -> None:
        """End every watch."""
        self._closing.set()

    async def List(  # noqa: N802 - gRPC's name
        self, _: Message, __: grpc.aio.ServicerContext[Any, Any]
    ) -> Message:
        """Return the status of the server and of each service."""
        statuses = dict.fromkeys(self._services, self._response)
        messages: Any = health_pb2  # whose stubs do not know this method yet
        response: Message = messages.HealthListResponse(statuses=statuses)
        return response

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Push the status as it changes, until the client leaves or the server stops."""
        watch = asyncio.create_task(super().Watch(request, context), name="health-watch")
        closing = asyncio.create_task(self._closing.wait(), name="health-closing")
        try:
            await asyncio.wait({watch, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            closing.cancel()
            await asyncio.wait({watch, closing})
        raise Draining("the server is stopping")
