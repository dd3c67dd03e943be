"""The Connect protocol: each rule of it, and what breaks it, as plain requests."""

import asyncio
import base64
import gzip
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from google.protobuf.any_pb2 import Any as Content

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.http.bodies import BODY_BYTES, deflated
from support.callers import entry, key_of, write_access
from support.connect import (
    ADMIN,
    INTAKE,
    JSON,
    JSON_STREAM,
    PROTO,
    PROTO_STREAM,
    Answer,
    asked,
    ending,
    envelope,
    envelopes,
    opened,
)
from support.http_listener import listening
from support.orders import order

ORDER = {"customerId": "ada", "lines": [{"sku": "tea", "quantity": 1}]}
TEXT = json.dumps(ORDER).encode()
PACKED = gzip.compress(TEXT, mtime=0)
PLACE, GET, BATCH = f"{INTAKE}/PlaceOrder", f"{INTAKE}/GetOrder", f"{INTAKE}/BatchPlaceOrders"
STATS, STREAM, BOTH = (
    f"{ADMIN}/GetQueueStats",
    f"{INTAKE}/StreamCompletions",
    f"{INTAKE}/PlaceOrders",
)
BEGINNING = envelope(b'{"startAt": "START_AT_EARLIEST"}')


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with listening(tmp_path / "data") as found:
        yield found


def code(answer: Answer) -> tuple[int, str]:
    """Give the status and the code of a refusal, whose details every one of ours has."""
    return answer.status, answer.json["code"]


async def place(port: int, body: object = ORDER, **headers: str) -> Answer:
    return await asked(port, PLACE, body, JSON | headers)


# What a request may look like


@pytest.mark.parametrize(
    ("path", "headers", "accepted"),
    [
        (PLACE, {"Content-Type": "text/json"}, "application/json, application/proto"),
        (PLACE, {"Content-Type": "application/x-www-form-urlencoded"}, "application/json"),
        (PLACE, {"Content-Type": "text/plain"}, "application/json"),
        (PLACE, {"Content-Type": "multipart/form-data; boundary=x"}, "application/json"),
        (PLACE, {}, "application/json"),
        (PLACE, {"Content-Type": "application/json; charset=utf-16"}, "application/json"),
        (PLACE, {"Content-Type": "application/connect+json"}, "application/json"),
        (PLACE, {"Content-Type": "application/grpc"}, "application/json"),
        (STREAM, JSON, "application/connect+json, application/connect+proto"),
        (STREAM, {"Content-Type": "application/grpc-web"}, "application/connect+json"),
        (BOTH, JSON, "application/connect+json"),
    ],
)
async def test_another_content_type_is_415(
    port: int, path: str, headers: Mapping[str, str], accepted: str
) -> None:
    answer = await asked(port, path, TEXT, headers)
    assert (answer.status, answer.body) == (415, b"")
    assert answer.headers["Accept-Post"].startswith(accepted)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json;charset=UTF-8",
        'Application/JSON; charset="utf-8"',
        "application/json; a=b",
    ],
)
async def test_a_content_type_may_be_written_in_any_way(port: int, kind: str) -> None:
    assert (await place(port, **{"Content-Type": kind})).status == 200


async def test_an_unknown_path_is_404_without_a_body(port: int) -> None:
    for path in (
        "/nothing",
        "/orderintake.v1.OrderIntakeService/Nothing",
        f"{PLACE}/",
        f"/x{PLACE}",
    ):
        answer = await asked(port, path, ORDER)
        assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"Connect-Protocol-Version": "1"}, 200),
        ({"Connect-Protocol-Version": "2"}, (400, "invalid_argument")),
        ({"Connect-Timeout-Ms": "9999999999"}, 200),
        ({"Connect-Timeout-Ms": "99999999999"}, (400, "invalid_argument")),
        ({"Connect-Timeout-Ms": "1.5"}, (400, "invalid_argument")),
        ({"Connect-Timeout-Ms": "-1"}, (400, "invalid_argument")),
        ({"Connect-Timeout-Ms": ""}, (400, "invalid_argument")),
        ({"Content-Encoding": "identity"}, 200),
        ({"Content-Encoding": "br"}, (501, "unimplemented")),
        ({"Content-Encoding": "gzip"}, (400, "invalid_argument")),
    ],
)
async def test_headers_are_read(port: int, headers: dict[str, str], expected: object) -> None:
    answer = await place(port, **headers)
    assert (answer.status if answer.status == 200 else code(answer)) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"nothing", b'{"colour": 1}', b'{"tier": "VIP"}', b'{"lines": [{"sku": 5}]}'],
)
async def test_json_that_is_no_order_is_refused_with_its_field(port: int, body: bytes) -> None:
    answer = await place(port, body)
    assert code(answer) == (400, "invalid_argument")
    info, bad = answer.json["details"]
    assert (info["type"], info["debug"]["reason"]) == ("google.rpc.ErrorInfo", "INVALID_ORDER")
    assert bad["type"] == "google.rpc.BadRequest"
    assert bad["debug"]["fieldViolations"]
    assert not info["value"].endswith("=")


async def test_an_empty_body_is_an_empty_message_in_binary_whatever_its_encoding(port: int) -> None:
    for more in ({}, {"Content-Encoding": "gzip"}):
        assert (await asked(port, STATS, b"", PROTO | more)).status == 200
        assert (await asked(port, STATS, b"", JSON | more)).status == 400


CONFORMANCE = {
    "unexpected-content-type": ("POST", STATS, {"Content-Type": "image/jpeg"}, b"12345678", 415),
    "unexpected-codec": ("POST", STATS, {"Content-Type": "application/foo"}, b"", 415),
    "unexpected-verb": ("DELETE", STATS, PROTO, b"", 405),
    "unexpected-uri": ("POST", "/shop.v1.UnknownService/UnknownMethod", PROTO, b"", 404),
    "unexpected-compression": ("POST", STATS, PROTO | {"Content-Encoding": "foo"}, b"x", 501),
    "server-stream/no-request": ("POST", STREAM, PROTO_STREAM, b"", "unimplemented"),
    "server-stream/multiple-requests": (
        *("POST", STREAM, PROTO_STREAM),
        *(envelope(b"") * 2, "unimplemented"),
    ),
    "unexpected-compressed-message": (
        *("POST", STREAM, PROTO_STREAM | {"Connect-Content-Encoding": "identity"}),
        *(envelope(b"", 1), "internal"),
    ),
}
"""The raw requests of the protocol's conformance suite, by their names there."""


@pytest.mark.parametrize("name", CONFORMANCE)
async def test_the_conformance_suites_unexpected_requests_are_answered_as_it_says(
    port: int, name: str
) -> None:
    method, path, headers, body, expected = CONFORMANCE[name]
    answer = await asked(port, path, body, headers, method=method)
    if isinstance(expected, int):
        assert answer.status == expected
    else:
        assert (answer.status, ending(answer.body)[1]["error"]["code"]) == (200, expected)


# Compression


async def test_gzip_is_read_and_written_for_who_takes_it(port: int) -> None:
    batch = {"requests": [ORDER] * 20}
    packed = gzip.compress(json.dumps(batch).encode())
    headers = JSON | {"Content-Encoding": "gzip", "Accept-Encoding": "br, gzip;q=0.5"}
    answer = await asked(port, BATCH, packed, headers)
    assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert len(json.loads(gzip.decompress(answer.body))["receipts"]) == 20
    for refused in ("gzip;q=0", "deflate", "", "gzip;q=0.000"):
        plain = await asked(port, BATCH, batch, JSON | {"Accept-Encoding": refused})
        assert "Content-Encoding" not in plain.headers
    small = await place(port, **{"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in small.headers


@pytest.mark.parametrize(
    "body",
    [PACKED[:-4], PACKED[:12], b"\x1f\x8b", PACKED + b"x"],
)
async def test_gzip_that_is_damaged_is_refused(port: int, body: bytes) -> None:
    answer = await place(port, body, **{"Content-Encoding": "gzip"})
    assert code(answer) == (400, "invalid_argument")


async def test_what_is_too_large_is_refused_before_or_after_it_is_inflated(port: int) -> None:
    bomb = deflated(bytes(10 * BODY_BYTES))
    small = await asked(port, BATCH, bomb, PROTO | {"Content-Encoding": "gzip"})
    large = await asked(port, BATCH, bytes(BODY_BYTES + 1), PROTO)
    single = await place(port, b" " * 600_000 + TEXT)
    assert [code(each) for each in (small, large)] == [(429, "resource_exhausted")] * 2
    assert code(single) == (400, "invalid_argument")
    assert len(bomb) < 256 * 1024


# Answers


async def test_an_error_tells_what_grpc_tells(port: int) -> None:
    first = await place(port, ORDER | {"requestId": "r"})
    answer = await place(port, ORDER | {"requestId": "r", "labels": {"a": "b"}})
    assert code(answer) == (409, "already_exists")
    (detail,) = answer.json["details"]
    assert detail["debug"] == {
        "reason": "REQUEST_ID_REUSED",
        "domain": "orderintake",
        "metadata": {"order_id": first.json["order"]["orderId"]},
    }
    assert answer.headers["Content-Type"] == "application/json"


async def test_who_is_refused_for_now_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with listening(tmp_path, queue_limit=1, vip_reserve=0.0) as port:
        await place(port)
        full = await place(port)
    assert code(full) == (503, "unavailable")
    assert int(full.headers["Retry-After"]) >= 1
    assert [each["type"] for each in full.json["details"]] == [
        "google.rpc.ErrorInfo",
        "google.rpc.RetryInfo",
    ]


async def test_who_is_not_known_is_told_how_to_be(tmp_path: Path) -> None:
    access = write_access(tmp_path / "access.toml", [entry("shop", "customer", customer="ada")])
    async with listening(tmp_path / "data", access=access) as port:
        unknown = await place(port)
        known = await place(port, Authorization=f"Bearer {key_of('shop')}")
        odd = await place(port, Authorization="Bearer ä")
    assert (unknown.status, unknown.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (known.status, odd.status) == (200, 401)


async def test_a_payload_that_nobody_knows_comes_back(port: int) -> None:
    content = {"@type": "type.googleapis.com/shop.Order", "@base64": "AQID"}
    placed = (await place(port, ORDER | {"payload": content})).json["order"]
    assert placed["payload"] == content
    request = api.GetOrderRequest(order_id=placed["orderId"]).SerializeToString()
    found = api.GetOrderResponse.FromString((await asked(port, GET, request, PROTO)).body)
    assert found.order.payload == Content(type_url=content["@type"], value=b"\1\2\3")


async def test_a_deadline_ends_the_call_and_the_order_may_be_stored(tmp_path: Path) -> None:
    async with listening(tmp_path) as port:
        answer = await place(port, ORDER | {"requestId": "r"}, **{"Connect-Timeout-Ms": "0"})
        assert code(answer) == (504, "deadline_exceeded")
        again = await place(port, ORDER | {"requestId": "r"})
        assert again.status == 200


# The key of a webhook


@pytest.mark.parametrize("key", ["evt-1", '"evt-1"'])
async def test_p2_an_idempotency_key_is_the_request_id(port: int, key: str) -> None:
    first = await place(port, **{"Idempotency-Key": key})
    again = await place(port, ORDER | {"requestId": "evt-1"}, **{"Idempotency-Key": "evt-1"})
    assert again.json["order"]["orderId"] == first.json["order"]["orderId"]
    assert again.json["replayed"] is True


@pytest.mark.parametrize("key", ["evt-2", "x" * 129, "ä"])
async def test_a_key_that_is_not_the_orders_is_refused(port: int, key: str) -> None:
    answer = await place(port, ORDER | {"requestId": "evt-1"}, **{"Idempotency-Key": key})
    assert code(answer) == (400, "invalid_argument")


async def test_two_keys_are_refused(port: int) -> None:
    answer = await place(port, **{"Idempotency-Key": "evt-1", "idempotency-key": "evt-2"})
    assert code(answer) == (400, "invalid_argument")


async def test_a_key_where_there_is_no_place_for_one_is_refused(port: int) -> None:
    for path, body in ((BATCH, {"requests": [ORDER]}), (STATS, {})):
        answer = await asked(port, path, body, JSON | {"Idempotency-Key": "evt-1"})
        assert code(answer) == (400, "invalid_argument")


# GET


async def got(port: int, path: str = STATS, **query: str) -> Answer:
    return await asked(port, f"{path}?{urlencode(query)}", None, {}, method="GET")


async def test_what_only_reads_may_be_asked_for_by_get(port: int) -> None:
    number = (await place(port)).json["order"]["acceptSequence"]
    message = json.dumps({"acceptSequence": number})
    request = api.GetOrderRequest(accept_sequence=int(number)).SerializeToString()
    encoded = base64.urlsafe_b64encode(request).decode()
    by_json = await got(port, GET, encoding="json", message=message)
    packed = base64.urlsafe_b64encode(gzip.compress(message.encode())).decode()
    compressed = await got(
        port, GET, connect="v1", encoding="json", message=packed, base64="1", compression="gzip"
    )
    by_proto = [
        await got(port, GET, encoding="proto", message=said, base64="1")
        for said in (encoded, encoded.rstrip("="))
    ]
    raw = await asked(port, f"{GET}?encoding=proto&message={quote(request)}", method="GET")
    assert by_json.json["order"]["acceptSequence"] == compressed.json["order"]["acceptSequence"]
    found = {api.GetOrderResponse.FromString(each.body).order.order_id for each in (*by_proto, raw)}
    assert found == {by_json.json["order"]["orderId"]}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"message": "{}"}, 415),
        ({"encoding": "xml", "message": "{}"}, 415),
        ({"encoding": "json"}, 400),
        ({"encoding": "json", "message": ""}, 400),
        ({"encoding": "json", "message": "e30", "base64": "1"}, 200),
        ({"encoding": "json", "message": "e3!", "base64": "1"}, 400),
        ({"encoding": "json", "message": "e", "base64": "1"}, 400),
        ({"encoding": "json", "message": "{}", "connect": "v2"}, 400),
        ({"encoding": "json", "message": "{}", "connect": "1"}, 400),
        ({"encoding": "json", "message": "{}", "compression": "br"}, 501),
        ({"encoding": "proto", "message": ""}, 200),
    ],
)
async def test_a_query_is_read(port: int, query: dict[str, str], expected: int) -> None:
    assert (await got(port, **query)).status == expected


# Streams


async def streamed(
    port: int, body: bytes, headers: Mapping[str, str] = JSON_STREAM, path: str = STREAM
) -> tuple[list[bytes], Any]:
    """Give all messages of a stream that ends by itself, and its end."""
    answer = await asked(port, path, body, headers)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == headers["Content-Type"]
    return ending(answer.body)


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, "unimplemented"),
        (BEGINNING * 2, {}, "unimplemented"),
        (BEGINNING[:3], {}, "invalid_argument"),
        (BEGINNING[:-1], {}, "invalid_argument"),
        (envelope(b"{}", 2), {}, "invalid_argument"),
        (envelope(b"nothing"), {}, "invalid_argument"),
        (envelope(b'{"colour": 1}'), {}, "invalid_argument"),
        (envelope(gzip.compress(b"{}", mtime=0), 1), {}, "internal"),
        (envelope(b"{}", 1), {"Connect-Content-Encoding": "gzip"}, "invalid_argument"),
        (BEGINNING, {"Connect-Content-Encoding": "br"}, "unimplemented"),
        (BEGINNING, {"Connect-Protocol-Version": "2"}, "invalid_argument"),
        (BEGINNING, {"Connect-Timeout-Ms": "soon"}, "invalid_argument"),
        (BEGINNING, {"Connect-Timeout-Ms": "50"}, "deadline_exceeded"),
        (envelope(b'{"afterCursor": "x"}'), {}, "invalid_argument"),
    ],
)
async def test_a_stream_that_cannot_begin_ends_with_an_error(
    port: int, body: bytes, headers: dict[str, str], code: str
) -> None:
    _, end = await streamed(port, body, JSON_STREAM | headers)
    assert end["error"]["code"] == code


async def test_a_stream_both_ways_needs_http_2(port: int) -> None:
    for form in (JSON_STREAM, PROTO_STREAM):
        messages, end = await streamed(port, envelope(b""), form, BOTH)
        assert messages == []
        assert end["error"]["code"] == "unimplemented"
        assert "gRPC" in end["error"]["message"]


@pytest.mark.parametrize("flags", [0, 1])
async def test_completions_come_as_they_happen(tmp_path: Path, flags: int) -> None:
    body = b'{"heartbeatInterval": "60s"}'
    sent = envelope(gzip.compress(body), 1) if flags else envelope(body)

    def read(port: int) -> list[Any]:
        headers = JSON_STREAM | {"Connect-Content-Encoding": "gzip"}
        with opened(port, STREAM, sent, headers) as response:
            found: list[Any] = []
            for _, message in envelopes(response):
                found.append(json.loads(message))
                if any(each.get("completions") for each in found):
                    return found
        raise AssertionError("the stream ended")

    async with listening(tmp_path, workers=1) as port:
        reading = asyncio.create_task(asyncio.to_thread(read, port))
        placed = await place(port, ORDER)
        found = await reading
    assert found[0]["signal"] == "SIGNAL_STARTED"
    (completion,) = found[-1]["completions"]
    assert completion["order"]["orderId"] == placed.json["order"]["orderId"]


async def test_p19_a_stop_ends_a_stream_with_going_away(tmp_path: Path) -> None:
    async with listening(tmp_path) as port:
        reading = asyncio.create_task(streamed(port, BEGINNING))
        while (await asked(port, STATS, {})).json.get("subscribers") != 1:
            pass
    messages, end = await reading
    assert json.loads(messages[-1])["signal"] == "SIGNAL_GOING_AWAY"
    reason = end["error"]["details"][0]["debug"]["reason"]
    assert (end["error"]["code"], reason) == ("unavailable", "DRAINING")


async def test_binary_streams_are_the_same_bytes_as_by_grpc(port: int) -> None:
    request = api.StreamCompletionsRequest(start_at=api.START_AT_LATEST).SerializeToString()

    def first() -> api.StreamCompletionsResponse:
        with opened(port, STREAM, envelope(request), PROTO_STREAM) as response:
            return api.StreamCompletionsResponse.FromString(next(envelopes(response))[1])

    assert (await asyncio.to_thread(first)).signal == api.SIGNAL_STARTED


async def test_orders_in_binary_are_placed(port: int) -> None:
    answer = await asked(port, PLACE, order(vip=True).SerializeToString(), PROTO)
    receipt = api.PlaceOrderResponse.FromString(answer.body)
    assert answer.headers["Content-Type"] == "application/proto"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{12}", receipt.order.order_id)
    assert receipt.durability == api.DURABILITY_FSYNC


async def test_an_order_goes_on_in_its_callers_trace(tmp_path: Path) -> None:
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"
    async with listening(tmp_path, workers=1) as port:
        await place(port, traceparent=trace)
        completions: list[Any] = []
        while not completions:
            page = await asked(port, f"{INTAKE}/ListCompletions", {})
            completions = page.json.get("completions", [])
    assert completions[0]["traceparent"] == trace
