"""Reads orders from lines of proto JSON."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from orderintake.payloads import NO_JSON, any_from_json
from orderintake.v1.order_intake_service_pb2 import PlaceOrderRequest
from orderintake.v1.order_pb2 import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAMES = [field.name for field in PlaceOrderRequest.DESCRIPTOR.fields]
_FIELDS = {*_NAMES, *(field.json_name for field in PlaceOrderRequest.DESCRIPTOR.fields)}


class BadLine(Exception):
    """A line of the file is not an order."""

    def __init__(self, number: int, message: str) -> None:
        """Name the line, counted from 1, and what is wrong with it."""
        super().__init__(number, message)
        self.number = number
        self.message = message

    def __str__(self) -> str:
        """Return line and message, for people."""
        return f"line {self.number}: {self.message}"


def orders(lines: Iterable[bytes]) -> Iterator[tuple[int, PlaceOrderRequest]]:
    """Read each line as an order, with its number, counted from 1; blank lines are skipped.

    Raises:
        BadLine: a line is no PlaceOrderRequest.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, _request(number, line)


def _request(number: int, line: bytes) -> PlaceOrderRequest:
    try:
        text = line.decode("utf-8-sig")
        if not text.lstrip().startswith("{"):
            raise BadLine(number, "not a JSON object")
        return _order(json.loads(text, object_pairs_hook=_unique))
    except json.JSONDecodeError as error:
        raise BadLine(number, f"no JSON at column {error.colno}: {error.msg}") from None
    except NO_JSON as error:
        raise BadLine(number, str(error).partition("\n")[0]) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for key, _ in pairs if len(found) < len(pairs) else ():
        if [each for each, _ in pairs].count(key) > 1:
            raise ValueError(f"{key!r} is there twice")
    return found


def _order(content: dict[str, Any]) -> PlaceOrderRequest:
    """Read an order; its tier may be `vip` or `regular` too, its payload of any type."""
    for key in content.keys() - _FIELDS:
        near = difflib.get_close_matches(key, _NAMES, n=1)
        raise ValueError(f"there is no field {key!r}" + "".join(f": {each!r}?" for each in near))
    tier, payload = content.get("tier"), content.pop("payload", None)
    if isinstance(tier, str) and f"TIER_{tier.upper()}" in Tier.keys():  # noqa: SIM118 - no dict
        content["tier"] = f"TIER_{tier.upper()}"
    request = json_format.ParseDict(content, PlaceOrderRequest())
    if payload is not None:
        request.payload.CopyFrom(any_from_json(payload))
    return request
