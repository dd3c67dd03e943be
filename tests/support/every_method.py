"""Every method of a server, called with bytes by its path, whatever its shape."""

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.api.methods import SERVICES
from support.callers import Metadata

HEALTH: Any = health_pb2.DESCRIPTOR.services_by_name["Health"]
REFLECTION: Any = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


def paths(*services: ServiceDescriptor) -> list[str]:
    """Give the paths of all methods of these services."""
    return [f"/{service.full_name}/{m.name}" for service in services for m in service.methods]


EVERY = paths(*SERVICES, HEALTH, REFLECTION)
OPEN = set(paths(HEALTH))
"""Methods for whoever calls."""


@dataclass(frozen=True)
class Told:
    """What a caller was told: the first message, or the status with all its details."""

    code: grpc.StatusCode
    text: str = ""
    details: bytes = b""
    message: bytes = b""

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        """The reason of a refusal, and its metadata."""
        info = error_details_pb2.ErrorInfo()
        status_pb2.Status.FromString(self.details).details[0].Unpack(info)
        return info

    def of_result(self) -> "Told":
        """What the first result says that a response of PlaceOrders has, if it is one."""
        for result in api.PlaceOrdersResponse.FromString(self.message).results:
            if result.HasField("refusal"):
                code = next(
                    code for code in grpc.StatusCode if code.value[0] == result.refusal.code
                )
                return Told(code, result.refusal.message, result.refusal.SerializeToString())
        return self

    @property
    def outcome(self) -> str:
        """The reason of a refusal, or OK."""
        return self.info.reason if self.details else self.code.name


async def call(
    channel: grpc.aio.Channel, path: str, request: bytes, metadata: Metadata = (), *, skip: int = 0
) -> Told:
    """Call a method with one message; give its first answer, or the one after so many.

    The message goes with the call's beginning: one that grpc.aio writes later, into a call that was
    refused meanwhile, now and then ends as INTERNAL, "Internal error from Core", in place of that.
    """
    method: Any = channel.unary_stream(path)
    calling = method(request, metadata=metadata)
    try:
        for _ in range(skip):
            await calling.read()
        message = await calling.read()
        if message is grpc.aio.EOF:
            return Told(await calling.code(), await calling.details())
        return Told(grpc.StatusCode.OK, message=bytes(message))
    except grpc.aio.AioRpcError as error:
        trailing: dict[str, Any] = dict(error.trailing_metadata() or ())
        details = bytes(trailing.get("grpc-status-details-bin", b""))
        return Told(error.code(), error.details() or "", details)
    finally:
        calling.cancel()
