"""Orders from a file, one proto JSON object a line, in batches that the service accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf import json_format

from orderintake.v1.order_intake_service_pb2 import PlaceOrderRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_ORDERS = 1000
MOST_BYTES = 3 * 1024**2 - 1024
"""What the service accepts in one batch, less the message's own few bytes."""

_BYTES_BESIDE = 40
"""What an order costs in a batch beside its content: a request_id it may lack, tags, lengths."""


class BadLine(Exception):
    """A line is no order."""

    def __init__(self, number: int, message: str) -> None:
        """Name the line, counted from 1, and what is wrong with it."""
        super().__init__(number, message)
        self.number = number
        self.message = message

    def __str__(self) -> str:
        """Return line and message, for people."""
        return f"line {self.number}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Orders to be placed together, and the lines, counted from 1, that they stand on."""

    requests: tuple[PlaceOrderRequest, ...]
    line_numbers: tuple[int, ...]


def batches(lines: Iterable[bytes]) -> Iterator[Batch]:
    """Read lines into batches as large as may be; blank lines are left out.

    Raises:
        BadLine: a line is no PlaceOrderRequest. No order of the batch begun is handed out.
    """
    found: list[tuple[int, PlaceOrderRequest]] = []
    size = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        request = _request(number, line)
        weight = request.ByteSize() + _BYTES_BESIDE
        if found and (len(found) == MOST_ORDERS or size + weight > MOST_BYTES):
            yield _batch(found)
            found, size = [], 0
        found.append((number, request))
        size += weight
    if found:
        yield _batch(found)


def _request(number: int, line: bytes) -> PlaceOrderRequest:
    try:
        text = line.decode("utf-8-sig")
        if not text.lstrip().startswith("{"):  # what follows would take a [] for an empty order
            raise BadLine(number, "not a JSON object")
        return json_format.Parse(text, PlaceOrderRequest())
    except (UnicodeDecodeError, json_format.ParseError) as error:
        raise BadLine(number, str(error).partition("\n")[0]) from error


def _batch(found: list[tuple[int, PlaceOrderRequest]]) -> Batch:
    numbers, requests = zip(*found, strict=True)
    return Batch(requests=requests, line_numbers=numbers)
