"""The standard health service, with watches that end when the server does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health, health_pb2

from orderintake_server.errors import Draining

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

SET_SECONDS = 1.0
"""A client that watches and does not read holds the stock servicer's lock: it may, so long."""


class Health(health.aio.HealthServicer):
    """Tells whether new orders are taken, for the server as a whole and for each service."""

    def __init__(self, *services: str) -> None:
        """Tell about these services, and about the server under the name ""."""
        super().__init__()
        self._services = ("", *services)
        self._response = health_pb2.HealthCheckResponse()
        self._closing = asyncio.Event()

    async def tell(self, *, is_serving: bool) -> None:
        """Tell whoever asks or watches from now on."""
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if is_serving else statuses.NOT_SERVING
        self._response = statuses(status=status)
        for service in self._services:
            try:
                async with asyncio.timeout(SET_SECONDS):
                    await self.set(service, status)
            except TimeoutError:
                pass  # the stalled watcher does not see it; everybody who asks does

    def close(self) -> None:
        """End every watch."""
        self._closing.set()

    async def List(  # noqa: N802 - gRPC's name
        self, _: Message, __: grpc.aio.ServicerContext[Any, Any]
    ) -> Message:
        """Tell the status of the server and of each service."""
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
