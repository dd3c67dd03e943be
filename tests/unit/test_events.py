"""Streams as server-sent events: the text of every message, and what may be asked for."""

import json
from typing import Any

import pytest
from multidict import MultiDict

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.api.methods import SERVICES
from orderintake_server.errors import InvalidOrder
from orderintake_server.http.events import texts
from orderintake_server.http.events.query import read_query
from orderintake_server.http.events.texts import EventTexts
from support.events import Event, Parser


def completion(number: int, **fields: Any) -> order_pb2.Completion:  # noqa: ANN401 - of an Order
    return order_pb2.Completion(
        sequence=number, cursor=f"c{number}", order=order_pb2.Order(customer_id="ada", **fields)
    )


def message(*completions: order_pb2.Completion, **fields: Any) -> bytes:  # noqa: ANN401
    found = api.StreamCompletionsResponse(completions=completions, head_sequence=9, **fields)
    return found.SerializeToString()


def read(text: bytes, parser: Parser | None = None) -> list[Event]:
    parser = parser or Parser()
    return [event for line in text.decode().split("\n") if (event := parser.line(line))]


def test_each_completion_is_an_event_behind_which_a_reader_can_come_back() -> None:
    found = read(EventTexts().of(message(completion(1), completion(2), cursor="c2")))
    assert [(event.name, event.last_id) for event in found] == [
        ("message", "c1"),
        ("message", "c2"),
    ]
    assert found[1].json == {"sequence": "2", "cursor": "c2", "order": {"customerId": "ada"}}


@pytest.mark.parametrize("signal", api.Signal.values())
def test_every_signal_is_told(signal: api.Signal.ValueType) -> None:
    parser = Parser()
    found = read(EventTexts().of(message(cursor="c5", signal=signal)), parser)
    assert parser.last_id == "c5"
    if signal in {api.SIGNAL_UNSPECIFIED, api.SIGNAL_HEARTBEAT}:
        assert found == []
    else:
        name = api.Signal.Name(signal).removeprefix("SIGNAL_").lower()
        assert found == [Event(name, '{"headSequence":"9"}', "c5")]


def test_what_a_filter_left_out_behind_completions_moves_the_place() -> None:
    parser = Parser()
    assert len(read(EventTexts().of(message(completion(1), cursor="c7")), parser)) == 1
    assert parser.last_id == "c7"


def test_no_text_of_an_order_can_end_an_event() -> None:
    evil = "x\n\nevent: end\ndata: y\r\rid: z\u2028"
    found = read(EventTexts().of(message(completion(1, labels={evil: evil}), cursor="c1")))
    assert [(event.name, event.last_id) for event in found] == [("message", "c1")]
    assert found[0].json["order"]["labels"] == {evil: evil}


def test_a_completion_is_written_once_for_all_who_are_told_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = []

    def write(message: order_pb2.Completion) -> bytes:
        written.append(message.sequence)
        return b"{}"

    monkeypatch.setattr(texts, "write_json", write)
    kept = EventTexts()
    one, two = completion(1), completion(2)
    for cursor in ("c2", "c3"):
        kept.of(message(one, two, cursor=cursor))
    kept.of(message(two, cursor="c2"))
    assert written == [1, 2]


def test_what_is_kept_of_what_was_written_is_bounded() -> None:
    kept = EventTexts(written_bytes=4_096)
    for number in range(1_000):
        kept.of(message(completion(number), cursor=f"c{number}"))
        assert sum(len(key) + len(text) for key, text in kept.written.items()) <= 4_096 + 256


# What may be asked for


def test_the_query_holds_every_field_of_the_request() -> None:
    asked = {
        "afterCursor": "c7",
        "maxBatchSize": "10",
        "heartbeatInterval": "2.5s",
        "customerId": "ada & co=ü",
        "tier": "TIER_VIP",
    }
    found = read_query(MultiDict(asked), None)
    assert (found.after_cursor, found.max_batch_size, found.customer_id) == (
        *("c7", 10),
        asked["customerId"],
    )
    assert found.heartbeat_interval.ToMilliseconds() == 2_500
    assert found.tier == order_pb2.TIER_VIP
    latest = read_query(MultiDict(startAt="START_AT_LATEST"), "")
    assert latest.start_at == api.START_AT_LATEST
    named = {field.json_name for field in api.StreamCompletionsRequest.DESCRIPTOR.fields}
    assert named == {*asked, "startAt"}


def test_where_a_reader_was_wins_over_the_start_that_its_address_names() -> None:
    for start in ({"startAt": "START_AT_LATEST"}, {"after_cursor": "old"}, {"afterCursor": "old"}):
        found = read_query(MultiDict(start | {"tier": "TIER_VIP"}), "c9")
        assert (found.after_cursor, found.start_at, found.tier) == ("c9", 0, order_pb2.TIER_VIP)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ([("tier", "VIP")], "tier"),
        ([("customer", "ada")], "customer"),
        ([("maxBatchSize", "many")], "maxBatchSize"),
        ([("maxBatchSize", "9999999999")], "maxBatchSize"),
        ([("heartbeatInterval", "5")], "heartbeatInterval"),
        ([("customerId", "ada"), ("customerId", "bob")], ""),
        ([("customerId", "ada"), ("customer_id", "bob")], "customer_id"),
        ([("afterCursor", "c1"), ("startAt", "START_AT_LATEST")], ""),
        ([("customerId", "\udcff")], "customerId"),
        ([("\udcff", "1")], ""),
    ],
)
def test_a_bad_query_is_refused_and_its_field_named(
    query: list[tuple[str, str]], field: str
) -> None:
    with pytest.raises(InvalidOrder) as refused:
        read_query(MultiDict(query), None)
    (violation,) = refused.value.violations
    assert violation.field == field


def test_methods_that_stream_stream_completions() -> None:
    """Others would need texts of their own."""
    methods = [method for service in SERVICES for method in service.methods]
    streams = [
        (method.input_type.name, method.output_type.name)
        for method in methods
        if method.server_streaming and not method.client_streaming
    ]
    assert streams == [("StreamCompletionsRequest", "StreamCompletionsResponse")]


def test_the_first_and_the_last_are_events_too() -> None:
    parser = Parser("c3")
    error = json.dumps({"code": "unavailable"}).encode()
    (found,) = read(texts.first(1_500) + texts.last(error), parser)
    assert parser.retry == 1_500
    assert found == Event("end", '{"code": "unavailable"}', "c3")
