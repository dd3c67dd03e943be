"""Which list of orders a request is about, so that a page token fits no other list."""

from __future__ import annotations

from orderintake.v1 import order_intake_service_pb2 as api


def list_name(request: api.ListOrdersRequest) -> bytes:
    """Name the list: all that is requested but how much of it, fields of later versions aside."""
    named = api.ListOrdersRequest()
    named.CopyFrom(request)
    named.ClearField("page_token")
    named.ClearField("page_size")
    named.DiscardUnknownFields()
    return named.SerializeToString(deterministic=True)
