"""The query of a GET, read as the request of a method."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.api.violations import invalid
from orderintake_server.http.json import read_json

if TYPE_CHECKING:
    from multidict import MultiMapping

_START = {
    name
    for field in api.StreamCompletionsRequest.DESCRIPTOR.oneofs_by_name["start"].fields
    for name in (field.name, field.json_name)
}


def read_query(query: MultiMapping[str], last_event_id: str | None) -> api.StreamCompletionsRequest:
    """Read a subscription: fields by their JSON names, each a text as JSON has it in a string.

    Who comes back says with `Last-Event-ID` where it was, which is later than any start that its
    address names. Raises InvalidOrder.
    """
    named: dict[str, str] = {}
    for name, value in query.items():
        if name in named:
            raise invalid("", "the query has a field twice")
        named[name] = value
    if last_event_id:
        named = {name: value for name, value in named.items() if name not in _START}
        named["afterCursor"] = last_event_id
    found: api.StreamCompletionsRequest = read_json(
        api.StreamCompletionsRequest, json.dumps(named).encode()
    )
    return found
