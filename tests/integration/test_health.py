"""The standard health service beside the contract's own: asked, listed, watched over a channel."""

from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.in_process import listening

SERVICES = {"", "orderintake.v1.OrderIntakeService", "orderintake.v1.OrderAdminService"}
SERVING = health_pb2.HealthCheckResponse.SERVING


async def test_every_service_is_serving_when_asked_listed_and_watched(tmp_path: Path) -> None:
    messages: Any = health_pb2  # whose stubs do not know List yet
    async with (
        listening(tmp_path) as (address, _),
        grpc.aio.insecure_channel(address) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        listed = await health.List(messages.HealthListRequest())
        assert {name: told.status for name, told in listed.statuses.items()} == dict.fromkeys(
            SERVICES, SERVING
        )
        for service in SERVICES:
            request = health_pb2.HealthCheckRequest(service=service)
            assert (await health.Check(request)).status == SERVING
            watch = health.Watch(request)
            assert (await watch.read()).status == SERVING
            watch.cancel()
