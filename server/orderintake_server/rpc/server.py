"""The gRPC server: what it serves, on which port, and how it stops."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake_server.errors import StartupFailed
from orderintake_server.rpc.admin import OrderAdminServicer
from orderintake_server.rpc.health import Health
from orderintake_server.rpc.hold import ShutdownGate
from orderintake_server.rpc.interceptors import Guard
from orderintake_server.rpc.servicer import OrderIntakeServicer
from orderintake_server.rpc.status import Statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orderintake_server.ids import Ids
    from orderintake_server.intake import Intake
    from orderintake_server.rpc.codec import Codec

SERVICES = (
    api.DESCRIPTOR.services_by_name["OrderIntakeService"].full_name,
    admin.DESCRIPTOR.services_by_name["OrderAdminService"].full_name,
)
OPTIONS = (
    ("grpc.so_reuseport", 0),  # or a second server would take the same port in silence
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),  # clients may ping so often
    ("grpc.http2.max_pings_without_data", 0),
    # A peer that is gone without a word is noticed within two heartbeats of a stream, 10 s.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # grpc.keepalive_timeout_ms does nothing below 60 s
    ("grpc.keepalive_permit_without_calls", 1),
    # Of a thousand calls at once (its default) gRPC ends some CANCELLED before we ever see them;
    # all shall have our answer, if need be QUEUE_FULL.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
)
AGE_GRACE_SECONDS = 5.0
"""What calls still under way get to end on a connection that is too old; streams end by it."""
STOP_SECONDS = 2.0
"""What calls still under way get to end when the server stops; all have their answer by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcSettings:
    """Where to serve, and how long to bear with clients.

    `listen` is HOST:PORT, port 0 for a free one. `workers` is how many there are. A subscriber has
    `subscriber_seconds` to take a message; a connection grows `connection_seconds` old at the most
    (None: any age).
    """

    listen: str
    workers: int
    subscriber_seconds: float
    connection_seconds: float | None


class RpcServer:
    """A started server: the port it serves on, and how it is brought to its end."""

    def __init__(
        self, server: grpc.aio.Server, port: int, health: Health, hold: ShutdownGate
    ) -> None:
        """Hold a server that has been started."""
        self._server = server
        self._health = health
        self._hold = hold
        self._is_stopping = False
        self.port = port

    async def tell_reach(self, *, is_there: bool) -> None:
        """Tell by health whether the store can be reached, and so new orders taken."""
        if not self._is_stopping:
            await self._health.tell(is_serving=is_there)

    async def announce_stop(self) -> None:
        """Tell by health that new orders are no longer taken."""
        self._is_stopping = True
        await self._health.tell(is_serving=False)

    async def stop(self) -> None:
        """End every call and connection; completion streams should have been told to end."""
        self._health.close()
        await self._hold.begin()
        stopping = asyncio.create_task(self._server.stop(STOP_SECONDS), name="rpc-stop")
        await asyncio.sleep(0)  # now every connection is told to close when its calls have ended
        self._hold.release()
        await stopping


@asynccontextmanager
async def rpc_server(
    intake: Intake, settings: RpcSettings, *, names: Ids, codec: Codec
) -> AsyncIterator[RpcServer]:
    """Serve the intake while inside.

    Raises StartupFailed when the address cannot be served on.
    """
    hold = ShutdownGate()
    server = grpc.aio.server(
        interceptors=[Guard(Statuses(names), hold)], options=OPTIONS + _ages(settings)
    )
    plain: Any = _GenericHandlersOnly(server)
    api_grpc.add_OrderIntakeServiceServicer_to_server(
        OrderIntakeServicer(
            intake, codec=codec, names=names, subscriber_seconds=settings.subscriber_seconds
        ),
        plain,
    )
    admin_grpc.add_OrderAdminServiceServicer_to_server(
        OrderAdminServicer(intake, codec=codec, names=names, workers=settings.workers), plain
    )
    checks = Health(*SERVICES)
    health_pb2_grpc.add_HealthServicer_to_server(checks, plain)
    reflection.enable_server_reflection(
        (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    try:
        port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise StartupFailed(f"cannot listen on {settings.listen}: {error}") from error
    await server.start()
    await checks.tell(is_serving=True)
    started = RpcServer(server, port, checks, hold)
    try:
        yield started
    finally:
        await started.stop()


def _ages(settings: RpcSettings) -> tuple[tuple[str, int], ...]:
    """Give the options that end connections of age, for which streams get a little longer."""
    if settings.connection_seconds is None:
        return ()
    return (
        ("grpc.max_connection_age_ms", round(settings.connection_seconds * 1_000)),
        ("grpc.max_connection_age_grace_ms", round(AGE_GRACE_SECONDS * 1_000)),
    )


class _GenericHandlersOnly:
    """Takes a servicer's generic handlers and leaves the registered ones out.

    With registered methods every call waits on a future per method, about 7 us a call.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Leave them out; the generic handlers serve the same methods."""
