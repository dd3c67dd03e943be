"""The HTTP listener called by the Connect protocol, with what HTTP alone needs and no client."""

import asyncio
import base64
import http.client
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Content
from google.rpc import code_pb2, status_pb2

from support.every_method import Told

INTAKE = "/orderintake.v1.OrderIntakeService"
ADMIN = "/orderintake.v1.OrderAdminService"
WORK = "/orderintake.v1.OrderWorkService"
JSON = {"Content-Type": "application/json"}
PROTO = {"Content-Type": "application/proto"}
JSON_STREAM = {"Content-Type": "application/connect+json"}
PROTO_STREAM = {"Content-Type": "application/connect+proto"}
HEAD = struct.Struct(">BI")
END = 2
SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever it says
        """Its body."""
        return json.loads(self.body)

    @property
    def told(self) -> Told:
        """The error that it tells, as gRPC tells it."""
        return told_of(self.json)


def told_of(error: Mapping[str, Any]) -> Told:
    """Read an error object, as gRPC tells the same."""
    name = error["code"].upper().replace("CANCELED", "CANCELLED")
    status = status_pb2.Status(code=code_pb2.Code.Value(name), message=error.get("message", ""))
    for detail in error.get("details", ()):
        value = base64.b64decode(detail["value"] + "==")
        status.details.append(
            Content(type_url=f"type.googleapis.com/{detail['type']}", value=value)
        )
    details = status.SerializeToString() if status.details else b""
    return Told(grpc.StatusCode[name], status.message, details)


def ask(
    port: int,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = JSON,
    *,
    method: str = "POST",
) -> Answer:
    """Send a request on a connection of its own."""
    with opened(port, path, body, headers, method=method) as response:
        return Answer(response.status, response.headers, response.read())


async def asked(
    port: int,
    path: str,
    body: object = None,
    headers: Mapping[str, str] = JSON,
    *,
    method: str = "POST",
) -> Answer:
    """Do the same from within an event loop; what is no bytes goes as JSON."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    return await asyncio.to_thread(ask, port, path, content, headers, method=method)


@contextmanager
def opened(
    port: int,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = JSON,
    *,
    method: str = "POST",
) -> Iterator[http.client.HTTPResponse]:
    """Send a request; give the answer when its headers are there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(method, path, body, dict(headers))
        yield connection.getresponse()
    finally:
        connection.close()


def envelope(message: bytes, flags: int = 0) -> bytes:
    """Put a message of a stream into its envelope."""
    return HEAD.pack(flags, len(message)) + message


def envelopes(response: http.client.HTTPResponse) -> Iterator[tuple[int, bytes]]:
    """Read the messages of a stream as they come, each with its flags."""
    while head := response.read(HEAD.size):
        flags, size = HEAD.unpack(head)
        yield flags, response.read(size)


def ending(body: bytes) -> tuple[list[bytes], Any]:
    """Take a whole stream apart: its messages, and what its end says."""
    found, at = [], 0
    while at < len(body):
        flags, size = HEAD.unpack_from(body, at)
        at += HEAD.size + size
        found.append((flags, body[at - size : at]))
    flags, last = found.pop()
    assert flags == END
    assert all(flags == 0 for flags, _ in found)
    return [message for _, message in found], json.loads(last)
