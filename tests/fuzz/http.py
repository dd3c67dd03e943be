"""Fuzzes what reads JSON and envelopes, and what writes JSON of whatever content orders have."""

import json

from google.protobuf.any_pb2 import Any as Content
from google.protobuf.json_format import MessageToJson
from google.protobuf.struct_pb2 import Struct
from yarl import URL

from fuzz.requests import KINDS, READERS, request_seeds
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.errors import InvalidOrder, Refusal
from orderintake_server.http.codes import NotServed
from orderintake_server.http.connect.streams import only
from orderintake_server.http.events.query import read_query
from orderintake_server.http.json import read_json, write_json
from orderintake_server.texts import is_printable
from support.connect import envelope


def from_json(data: bytes) -> None:
    """Read a request of any method as JSON, then as its endpoint does; and write it again."""
    kind = KINDS[data[0] % len(KINDS)] if data else KINDS[0]
    try:
        message = read_json(kind, data[1:])
        assert isinstance(json.loads(write_json(message)), dict)
        if kind is not api.PlaceOrdersRequest:  # it is not served by HTTP
            READERS[kind](message)
    except Refusal as refusal:
        _check_told(refusal)


def _check_told(refusal: Refusal) -> None:
    told = refusal.text.encode().decode()
    assert not isinstance(refusal, InvalidOrder) or not refusal.is_malformed or is_printable(told)


def shown(data: bytes) -> None:
    """Write an order with this type of content, and this content; read it again."""
    kind, _, value = data.partition(b"\n")
    content = Content(type_url=kind.decode(errors="replace"), value=value)
    found = json.loads(write_json(order_pb2.Order(order_id="x", payload=content)))
    assert found["orderId"] == "x"
    if "@base64" in found["payload"]:
        again = read_json(api.PlaceOrderRequest, json.dumps({"payload": found["payload"]}).encode())
        assert again.payload == content


def enveloped(data: bytes) -> None:
    """Read the one message of a stream's request."""
    try:
        flags, message = only(data)
    except (InvalidOrder, NotServed):
        return
    assert envelope(message, flags) == data


def json_seeds() -> list[bytes]:
    """Give the good requests as JSON."""
    found = []
    for seed in request_seeds():
        message = KINDS[seed[0]].FromString(seed[1:])
        if b"type.googleapis.com/x" not in seed:
            found.append(seed[:1] + MessageToJson(message, indent=None).encode())
    payload = {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"a": [1, None]}}
    unopened = {"@type": "type.googleapis.com/x", "@base64": "AQID"}
    index = bytes([KINDS.index(api.PlaceOrderRequest)])
    return [
        *found,
        *(index + json.dumps({"payload": each}).encode() for each in (payload, unopened)),
    ]


def shown_seeds() -> list[bytes]:
    """Give content of types that are known, and of one that is not."""
    content = Struct()
    content.update({"a": [1, None, {"b": "c"}]})
    prefix = b"type.googleapis.com/"
    return [
        prefix + b"google.protobuf.Struct\n" + content.SerializeToString(),
        prefix + b"google.protobuf.Any\n" + Content(type_url="x/y").SerializeToString(),
        prefix + b"google.protobuf.Timestamp\n\x08\x01",
        prefix + b"orderintake.v1.Order\n\x0a\x01x",
        prefix + b"shop.Order\n\x01\x02\x03",
    ]


def envelope_seeds() -> list[bytes]:
    """Give an envelope, two, and a compressed one."""
    return [envelope(b"{}"), envelope(b"{}") * 2, envelope(b"\x1f\x8b", 1)]


def queried(data: bytes) -> None:
    """Read the query of a stream, with a place to come back to before it."""
    last, _, query = data.partition(b"\n")
    url = URL.build(path="/", query_string=query.decode("utf-8", "surrogateescape"), encoded=True)
    try:
        asked = read_query(url.query, last.decode("utf-8", "surrogateescape"))
        READERS[api.StreamCompletionsRequest](asked)
    except Refusal as refusal:
        _check_told(refusal)


def query_seeds() -> list[bytes]:
    """Give queries with each field, and one of somebody who comes back."""
    return [
        b"\nafterCursor=AXetpd4AAAAAAAAAACttWw0&maxBatchSize=10&heartbeatInterval=2.5s",
        b"\nstartAt=START_AT_LATEST&tier=TIER_VIP&customerId=a%26b",
        b"AXetpd4AAAAAAAAAACttWw0\nstart_at=START_AT_LATEST",
        b"\ntier=VIP&tier=1&%FF=\xff",
    ]
