"""P26: every method by JSON, by binary and by gRPC: the same answers, refusals and numbers."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from orderintake.v1 import order_pb2
from orderintake_server.access import Role
from orderintake_server.api.methods import SERVICES
from orderintake_server.config import Settings
from orderintake_server.http.codes import CODES
from orderintake_server.service import running
from support import connect
from support.callers import bearing, entry, key_of, write_access
from support.connect import JSON, JSON_STREAM, PROTO, PROTO_STREAM, envelope, envelopes, told_of
from support.every_method import Told, call
from support.metrics import scrape
from support.orders import order

METHODS: dict[str, Any] = {
    f"/{service.full_name}/{method.name}": method
    for service in SERVICES
    for method in service.methods
}
CALLERS = ("nobody", *(role.value for role in Role), "everybody")
VARYING = {
    *("accept_time", "send_time", "oldest_waiting_age", "accept_rate", "completion_rate"),
    *("heartbeat_time", "commit_time_p50", "commit_time_p99", "size_bytes"),
}


@dataclass(frozen=True)
class Shop:
    """A server, and an order of it."""

    channel: grpc.aio.Channel
    port: int
    values: dict[str, Any]
    """What a request says in the fields of these names."""

    def request(self, path: str) -> Message:
        """Make a request that a method can answer, whatever the method."""
        message = GetMessageClass(METHODS[path].input_type)()
        for field in message.DESCRIPTOR.fields:
            value = self.values.get(field.name)
            if value is not None and field.containing_oneof is None:
                _set(message, field, value)
        return message

    async def by_grpc(self, path: str, request: bytes, caller: str) -> Told:
        headers = () if caller == "nobody" else bearing(key_of(caller))
        return await call(self.channel, path, request, headers)

    async def by_http(self, path: str, request: bytes, caller: str, form: dict[str, str]) -> Told:
        headers = form | ({} if caller == "nobody" else dict(bearing(key_of(caller))))
        return await asyncio.to_thread(_told, self.port, path, request, headers)


def _set(message: Message, field: Any, value: Any) -> None:  # noqa: ANN401
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    else:
        setattr(message, field.name, value)


def _told(port: int, path: str, request: bytes, headers: dict[str, str]) -> Told:
    """Give what a call is told first."""
    gives_stream = METHODS[path].server_streaming
    body = envelope(request) if gives_stream else request
    with connect.opened(port, path, body, headers) as response:
        if not gives_stream:
            answer = connect.Answer(response.status, response.headers, response.read())
            if answer.status == 200:
                return Told(grpc.StatusCode.OK, message=answer.body)
            assert answer.status == CODES[answer.told.code.value[0]].status
            return answer.told
        assert response.status == 200
        flags, message = next(envelopes(response))
    if flags:
        return told_of(json.loads(message)["error"])
    return Told(grpc.StatusCode.OK, message=message)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    entries = [
        entry(role.value, role.value, customer="ada" if role is Role.CUSTOMER else None)
        for role in Role
    ]
    entries.append(entry("everybody", *(role.value for role in Role), customer="*"))
    settings = Settings(
        listen=("127.0.0.1:0",),
        http="127.0.0.1:0",
        data=tmp_path / "data",
        workers=0,
        access=write_access(tmp_path / "access.toml", entries),
    )
    async with (
        running(settings) as service,
        grpc.aio.insecure_channel(service.addresses[0]) as channel,
    ):
        assert service.http_port is not None
        values: dict[str, Any] = {
            "customer_id": "ada",
            "lines": [order_pb2.OrderLine(sku="tea", quantity=1)],
            "requests": [order()],
            "orders": [order()],
            "tier": order_pb2.TIER_REGULAR,
            "page_size": 1,
        }
        made = Shop(channel, service.http_port, values)
        placed = await made.by_grpc(
            f"{connect.INTAKE}/PlaceOrder", order().SerializeToString(), "everybody"
        )
        response = GetMessageClass(METHODS[f"{connect.INTAKE}/PlaceOrder"].output_type)
        values["order_id"] = response.FromString(placed.message).order.order_id  # type: ignore[attr-defined]
        yield made


def settled(message: Message) -> Message:
    """Leave out what changes from one moment to the next."""
    for field, value in message.ListFields():
        if field.name in VARYING:
            message.ClearField(field.name)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in value if field.is_repeated else [value]:
                settled(each)
    return message


@pytest.mark.seconds
@pytest.mark.parametrize("path", METHODS)
async def test_p26_a_method_answers_the_same_by_every_transport(shop: Shop, path: str) -> None:
    method = METHODS[path]
    kind: Any = GetMessageClass(method.output_type)
    forms = (JSON_STREAM, PROTO_STREAM) if method.server_streaming else (JSON, PROTO)
    request = shop.request(path)
    encoded, text = request.SerializeToString(), MessageToJson(request).encode()
    for caller in CALLERS:
        grpc_told = await shop.by_grpc(path, encoded, caller)
        json_told = await shop.by_http(path, text, caller, forms[0])
        proto_told = await shop.by_http(path, encoded, caller, forms[1])
        if method.client_streaming and grpc_told.code is grpc.StatusCode.OK:
            codes = {json_told.code, proto_told.code}
            assert codes == {grpc.StatusCode.UNIMPLEMENTED}, "HTTP/1.1 has no streams both ways"
            continue
        assert json_told.outcome == proto_told.outcome == grpc_told.outcome, caller
        if grpc_told.code is not grpc.StatusCode.OK:
            assert json_told == proto_told == grpc_told, caller
        elif method.GetOptions().idempotency_level or method.server_streaming:
            found = Parse(json_told.message, kind()), kind.FromString(proto_told.message)
            expected = settled(kind.FromString(grpc_told.message))
            assert [settled(each) for each in found] == [expected, expected], caller


@pytest.mark.parametrize("path", METHODS)
async def test_p26_what_is_no_message_is_refused_the_same(shop: Shop, path: str) -> None:
    method = METHODS[path]
    form = PROTO_STREAM if method.server_streaming else PROTO
    if not method.client_streaming:
        garbage = b"\xff\xff\xff"
        grpc_told = await shop.by_grpc(path, garbage, "everybody")
        assert await shop.by_http(path, garbage, "everybody", form) == grpc_told
        assert grpc_told.outcome == "INVALID_ORDER"


@pytest.mark.parametrize("path", METHODS)
async def test_get_is_for_methods_that_only_read_or_stream(shop: Shop, path: str) -> None:
    method = METHODS[path]
    headers = dict(bearing(key_of("everybody")))
    query = "?connect=v1&encoding=json&message={}"
    answer = await connect.asked(shop.port, path + query, None, headers, method="GET")
    is_safe = method.GetOptions().idempotency_level == 1
    assert is_safe is method.name.startswith(("Get", "List"))
    streams = method.server_streaming and not method.client_streaming  # as server-sent events
    assert (answer.status != 405) is (is_safe or streams)
    if answer.status == 405:
        assert "POST" in answer.headers["Allow"]
    assert (await connect.asked(shop.port, path, method="PUT")).status == 405


async def test_p26_calls_by_http_are_counted_beside_those_by_grpc(shop: Shop) -> None:
    path = f"{connect.ADMIN}/GetQueueStats"
    for caller in ("everybody", "nobody", "customer"):
        await shop.by_grpc(path, b"", caller)
        await shop.by_http(path, b"{}", caller, JSON)
        await shop.by_http(path, b"", caller, PROTO)
    seen = await scrape(shop.port)
    for code in ("OK", "UNAUTHENTICATED", "PERMISSION_DENIED"):
        assert seen.value("rpc_calls_total", method=path[1:], code=code) == 3
    assert seen.value("rpc_duration_seconds_count", method=path[1:]) == 9
    assert seen.value("refusals_total", reason="NOT_ALLOWED") == 3
    assert seen.value("authentication_failures_total") == 3
