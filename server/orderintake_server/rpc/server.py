"""The gRPC server: which methods it serves, on which port, and how it stops."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from orderintake_server.api.access import ANYONE_KNOWN
from orderintake_server.api.methods import SERVICES
from orderintake_server.calls.gate import ShutdownGate
from orderintake_server.rpc import ahead
from orderintake_server.rpc.binder import Binder
from orderintake_server.rpc.health import Health
from orderintake_server.rpc.memory import trimming
from orderintake_server.rpc.port.hangup import hang_up
from orderintake_server.rpc.port.listeners import listen_on
from orderintake_server.rpc.port.sockets import PREFIX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import grpc

    from orderintake_server.access.exposure import Exposure
    from orderintake_server.api.access import Rule
    from orderintake_server.calls.frame import Frame
    from orderintake_server.rpc.binder import Handler
    from orderintake_server.rpc.port.tls import Certificates

NAMES = tuple(service.full_name for service in SERVICES)
"""The full names of the contract's services."""
METADATA_BYTES = 8 * 1024
"""How much the headers of a call may hold: gRPC's own default, from which on it may refuse."""
OPTIONS = (
    ("grpc.so_reuseport", 0),  # otherwise a second server could share the same port unnoticed
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),  # clients may ping so often
    ("grpc.http2.max_pings_without_data", 0),
    # A peer that vanished is noticed within two heartbeats of a stream: 10 s.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # grpc.keepalive_timeout_ms does nothing below 60 s
    ("grpc.keepalive_permit_without_calls", 1),
    # With its default of a thousand, gRPC ends some calls as CANCELLED before we see them. Every
    # call must get our own answer, if need be QUEUE_FULL.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
    # More headers are refused. The default refuses between 8 and 16 KiB at random.
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES),
    ("grpc.server_handshake_timeout_ms", 10_000),  # a peer that says nothing goes
)
STANDARD_RULES: Mapping[str, Rule | None] = {
    health.SERVICE_NAME: None,  # load balancers, and gRPC's own round robin, send no credentials
    reflection.SERVICE_NAME: ANYONE_KNOWN,
}
"""Who may call gRPC's own services; each that is served must have its rule."""
Options = tuple[tuple[str, int], ...]
NEVER = 2**31 - 1
"""What gRPC takes for no limit, where it counts milliseconds."""
AGE_GRACE_SECONDS = 5.0
"""How long calls may go on when their connection is too old; after that they are ended, as
completion streams always are. Never longer than the age itself."""
STOP_SECONDS = 2.0
"""How long gRPC may take to stop; where connections cannot be hung up, calls go on so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcSettings:
    """Where to serve, and how long to wait for clients.

    `listen` holds HOST:PORT, port 0 for a free one, or unix:/PATH. A subscriber has
    `subscriber_seconds` to take a message; a connection grows `connection_seconds` old at the most,
    and is closed after `idle_seconds` without a call (None: never). Of more than `most_connections`
    the newest are closed at once; each has `most_streams` calls at once, and its client lets any
    more wait.
    """

    listen: Sequence[str]
    tls: Certificates | None
    exposure: Exposure
    subscriber_seconds: float
    connection_seconds: float | None
    idle_seconds: float | None
    most_connections: int
    most_streams: int


class RpcServer:
    """A started server: its addresses, its health, and how to stop it."""

    def __init__(
        self,
        server: grpc.aio.Server,
        addresses: tuple[str, ...],
        health: Health,
        gate: ShutdownGate,
    ) -> None:
        """Keep a server that has been started."""
        self._server = server
        self._health = health
        self._gate = gate
        self._is_stopping = False
        self.addresses = addresses
        """Where it listens: each HOST:PORT with the port that it got, or unix:PATH."""

    @property
    def listens(self) -> list[int | str]:
        """The ports and the paths of sockets that it listens on."""
        return [
            address.removeprefix(PREFIX)
            if address.startswith(PREFIX)
            else int(address.rpartition(":")[2])
            for address in self.addresses
        ]

    async def report_reach(self, *, is_there: bool) -> None:
        """Set health by whether the store can be reached, and so new orders accepted."""
        if not self._is_stopping:
            await self._health.report(is_serving=is_there)

    async def announce_stop(self) -> None:
        """Set health to NOT_SERVING: new orders are no longer accepted."""
        self._is_stopping = True
        await self._health.report(is_serving=False)

    async def stop(self) -> None:
        """End every call and connection; completion streams must have been closed before."""
        self._health.close()
        await self._gate.close()
        await self._gate.open()
        await asyncio.to_thread(hang_up, self.listens)
        await self._server.stop(STOP_SECONDS)


@asynccontextmanager
async def rpc_server(frame: Frame, settings: RpcSettings) -> AsyncIterator[RpcServer]:
    """Serve the methods of `frame` while inside, and health and reflection.

    Raises StartupFailed when the server cannot listen on one of the addresses, or must not.
    """
    gate = ShutdownGate()
    checks = Health(*NAMES)
    binder = Binder(
        frame.refusals,
        gate,
        frame.door,
        write_seconds=settings.subscriber_seconds,
        recorder=frame.recorder,
    )
    server = ahead.server(OPTIONS + _chosen(settings))
    server.add_generic_rpc_handlers(
        (binder.handlers(frame.methods, _standard_services(checks), STANDARD_RULES),)
    )
    addresses = await listen_on(server, settings.listen, settings.tls, settings.exposure)
    await server.start()
    await checks.report(is_serving=True)
    started = RpcServer(server, addresses, checks, gate)
    try:
        async with trimming():
            yield started
    finally:
        await started.stop()


def _standard_services(checks: Health) -> dict[str, dict[str, Handler]]:
    """Return the handlers of gRPC's own services, by service and by method."""
    collected = _Collected()
    plain: Any = collected
    health_pb2_grpc.add_HealthServicer_to_server(checks, plain)
    described = (*NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    servicer = reflection.aio.ReflectionServicer(described)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, plain)  # type: ignore[no-untyped-call]
    return collected.handlers


class _Collected:
    """Stands in for a server, and keeps the handlers that are added to it."""

    def __init__(self) -> None:
        self.handlers: dict[str, dict[str, Handler]] = {}

    def add_generic_rpc_handlers(self, _: object) -> None:
        """Ignore them: the same handlers are also registered, one by one."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """Keep the handlers of a service."""
        self.handlers[service] = handlers


def stream_options(most: int) -> Options:
    """Give the options that bound the calls of a connection.

    A call that was answered counts until Python lets go of it: without the second option, of the
    same size, bursts of well-behaved callers fail.
    """
    return (
        ("grpc.max_concurrent_streams", most),
        ("grpc.http2.max_deallocating_streams", most),
    )


def _chosen(settings: RpcSettings) -> Options:
    """Give the options that bound connections: their number, calls, idleness and age."""
    return (
        ("grpc.max_allowed_incoming_connections", settings.most_connections),
        *stream_options(settings.most_streams),
        ("grpc.max_connection_idle_ms", _milliseconds(settings.idle_seconds)),
        ("grpc.max_connection_age_ms", _milliseconds(settings.connection_seconds)),
        (
            "grpc.max_connection_age_grace_ms",
            _milliseconds(min(settings.connection_seconds or AGE_GRACE_SECONDS, AGE_GRACE_SECONDS)),
        ),
    )


def _milliseconds(seconds: float | None) -> int:
    return NEVER if seconds is None else max(round(seconds * 1_000), 1)
