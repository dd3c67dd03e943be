"""Which list of orders a request is about, so that a page token fits no other list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.v1 import order_intake_service_pb2 as api

if TYPE_CHECKING:
    from google.protobuf.message import Message

_HOW_MUCH = {"page_token", "page_size", "max_orders", "request_id", "all"}
"""The fields that do not tell which list it is."""


def list_name(request: Message) -> bytes:
    """Name the list: all that is requested but how much of it, fields of later versions aside."""
    named = type(request)()
    named.CopyFrom(request)
    for field in _HOW_MUCH & set(named.DESCRIPTOR.fields_by_name):
        named.ClearField(field)
    named.DiscardUnknownFields()
    kind = b"" if isinstance(request, api.ListOrdersRequest) else named.DESCRIPTOR.name.encode()
    return kind + named.SerializeToString(deterministic=True)
